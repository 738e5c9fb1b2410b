"""Names of tools that are too long for an upstream, or hold what it refuses: rewritten on the way out, and whole again in what comes back.

The Messages API takes 128 characters, and Claude Code makes long ones of servers and their tools; all others take 64:
https://github.com/packit/ai-workflows/pull/619 (2026-06-23), https://github.com/anthropics/claude-code/issues/96152 (2026-09-22),
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html (2026-11-29).
"""

import re
from collections.abc import Collection, Mapping

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


def with_short_names(request: Request, longest: int, taken: Collection[str] = ()) -> tuple[Request, Mapping[str, str]]:
    """The request as an upstream takes it, and the whole names by the short ones; the given one where no name is too long, holds what is
    refused, or is `taken`."""
    renamed = _Renamed(longest, taken)
    called = (part.name for message in request.messages for part in message.parts if isinstance(part, ToolCallPart))
    if all(map(renamed.fits, (*(tool.name for tool in request.tools), *called))):
        return request, {}
    choice = request.tool_choice
    shortened = replace(
        request,
        tools=tuple(replace(tool, name=renamed.name(tool.name)) for tool in request.tools),
        tool_choice=replace(choice, name=renamed.name(choice.name)) if choice is not None and choice.name is not None else choice,
        messages=tuple(renamed.message(message) for message in request.messages),
    )
    return shortened, {renamed.name(tool.name): tool.name for tool in request.tools if not renamed.fits(tool.name)}


class _Renamed:
    """The names that one upstream takes."""

    def __init__(self, longest: int, taken: Collection[str]) -> None:
        self._longest = longest
        self._taken = taken

    def fits(self, name: str) -> bool:
        """Whether a name can stay as it is."""
        return len(name) <= self._longest and not _REFUSED.search(name) and name not in self._taken

    def name(self, name: str) -> str:
        """The name itself where it fits, else one derived from it, always the same."""
        if self.fits(name):
            return name
        digest = digest_of(name)[:_DIGEST_CHARACTERS]
        return f"{_REFUSED.sub('_', name)[: self._longest - _DIGEST_CHARACTERS - 1]}_{digest}"

    def message(self, message: Message) -> Message:
        """A message, with its calls by these names."""
        parts = tuple(replace(part, name=self.name(part.name)) if isinstance(part, ToolCallPart) else part for part in message.parts)
        return replace(message, parts=parts)
