"""Moves images out of the results of tools, for models that take them beside results alone: all but Claude, Nova and Llama 4.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultContentBlock.html;
https://github.com/anomalyco/opencode/issues/49443 and https://github.com/can1357/oh-my-pi/pull/11685 tried it (2026-11-30).
"""

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import ImagePart, Message, Part, TextPart, ToolResultPart
from keyhouse.gateway.wire.model_traits import ModelTraits
from keyhouse.gateway.wire.turns import is_blank

FOLLOWS = "The image follows."
"""What a tool is taken to have said that answered with an image alone."""


def with_moved_images(messages: tuple[Message, ...], model: ModelTraits) -> tuple[Message, ...]:
    """The turns of a conversation as the model takes them: the images of results stand behind all results of their message."""
    return messages if model.images_in_results else tuple(replace(message, parts=_moved(message.parts)) for message in messages)


def _moved(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    results = [part for part in parts if isinstance(part, ToolResultPart)]
    images = [inner for result in results for inner in result.content if isinstance(inner, ImagePart)]
    if not images:
        return parts
    end = parts.index(results[-1]) + 1
    before = (_without_images(part) if isinstance(part, ToolResultPart) else part for part in parts[:end])
    return (*before, *images, *parts[end:])


def _without_images(result: ToolResultPart) -> ToolResultPart:
    kept = tuple(inner for inner in result.content if not isinstance(inner, ImagePart))
    if kept != result.content and all(map(is_blank, kept)):
        kept = (TextPart(FOLLOWS),)
    return replace(result, content=kept)
