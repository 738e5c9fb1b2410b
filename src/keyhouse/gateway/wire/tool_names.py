"""Names of tools that are too long for an upstream: shortened on the way out, and whole again in what comes back.

The Messages API takes 128 characters, and Claude Code makes long ones of servers and their tools; all others take 64:
https://github.com/packit/ai-workflows/pull/619 (2026-06-23), https://github.com/anthropics/claude-code/issues/96152 (2026-09-22),
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html (2026-11-29).
"""

import hashlib
from collections.abc import Mapping

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import Message, Request, ToolCallPart

LONGEST_NAME = 64
_DIGEST_CHARACTERS = 8


def with_short_names(request: Request) -> tuple[Request, Mapping[str, str]]:
    """The request as an upstream takes it, and the whole names by the short ones; the given one where no name is too long."""
    called = (part.name for message in request.messages for part in message.parts if isinstance(part, ToolCallPart))
    if not any(len(name) > LONGEST_NAME for name in (*(tool.name for tool in request.tools), *called)):
        return request, {}
    choice = request.tool_choice
    shortened = replace(
        request,
        tools=tuple(replace(tool, name=_short(tool.name)) for tool in request.tools),
        tool_choice=replace(choice, name=_short(choice.name)) if choice is not None and choice.name is not None else choice,
        messages=tuple(_message(message) for message in request.messages),
    )
    return shortened, {_short(tool.name): tool.name for tool in request.tools if len(tool.name) > LONGEST_NAME}


def _message(message: Message) -> Message:
    parts = tuple(replace(part, name=_short(part.name)) if isinstance(part, ToolCallPart) else part for part in message.parts)
    return replace(message, parts=parts)


def _short(name: str) -> str:
    """The name itself where it is short enough, else one derived from it, always the same."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: LONGEST_NAME - _DIGEST_CHARACTERS - 1]}_{digest}"
