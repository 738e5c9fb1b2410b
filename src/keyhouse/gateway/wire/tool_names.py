"""Names of tools that are too long for an upstream, or hold what it refuses: rewritten on the way out, and whole again in what comes back.

The Messages API takes 128 characters, and Claude Code makes long ones of servers and their tools; all others take 64:
https://github.com/packit/ai-workflows/pull/619 (2026-06-23), https://github.com/anthropics/claude-code/issues/96152 (2026-09-22),
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html (2026-11-29).
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import Message, Request, ToolCallPart
from keyhouse.gateway.wire.digests import digest_of
from keyhouse.gateway.wire.parameters import UpstreamFormat

LONGEST_NAMES: Mapping[UpstreamFormat, int] = {
    "openai_chat": 64,
    "openai_responses": 64,
    "anthropic_messages": 128,
    "bedrock_converse": 64,
}
_DIGEST_CHARACTERS = 8
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")
"""By Converse and Claude (litellm 1.110.2 rewrites names for it too). Servers of open models take more, and so callers send it."""


def with_short_names(request: Request, longest: int) -> tuple[Request, Mapping[str, str]]:
    """The request as an upstream takes it, and the whole names by the short ones; the given one where no name is too long."""
    called = (part.name for message in request.messages for part in message.parts if isinstance(part, ToolCallPart))
    if all(_fits(name, longest) for name in (*(tool.name for tool in request.tools), *called)):
        return request, {}
    choice = request.tool_choice
    shortened = replace(
        request,
        tools=tuple(replace(tool, name=_short(tool.name, longest)) for tool in request.tools),
        tool_choice=replace(choice, name=_short(choice.name, longest)) if choice is not None and choice.name is not None else choice,
        messages=tuple(_message(message, longest) for message in request.messages),
    )
    return shortened, {_short(tool.name, longest): tool.name for tool in request.tools if not _fits(tool.name, longest)}


def _message(message: Message, longest: int) -> Message:
    parts = tuple(replace(part, name=_short(part.name, longest)) if isinstance(part, ToolCallPart) else part for part in message.parts)
    return replace(message, parts=parts)


def _fits(name: str, longest: int) -> bool:
    return len(name) <= longest and not _REFUSED.search(name)


def _short(name: str, longest: int) -> str:
    """The name itself where it fits, else one derived from it, always the same."""
    if _fits(name, longest):
        return name
    digest = digest_of(name)[:_DIGEST_CHARACTERS]
    return f"{_REFUSED.sub('_', name)[: longest - _DIGEST_CHARACTERS - 1]}_{digest}"
