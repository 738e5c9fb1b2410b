"""Parses what system messages inside a conversation change from there on: words for one turn, tools that come and go, the effort.

https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages, 30 November 2026. Claude Code sends all of it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from keyhouse.gateway.wire.anthropic_messages.block_parsing import parse_system_texts, parse_text
from keyhouse.gateway.wire.conversation import Effort, TextPart, Tool
from keyhouse.gateway.wire.fields import Fields, unsupported
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import EFFORTS

_ADDITION, _REMOVAL = "tool_addition", "tool_removal"


def uncleared(messages: Sequence[Fields]) -> Iterator[Fields]:
    """The messages without the system messages that stood for one turn alone, once the user has spoken again."""
    last = max((index for index, message in enumerate(messages) if message.raw.get("role") == "user"), default=0)
    return (message for index, message in enumerate(messages) if not (_is_for_one_turn(message) and index < last))


def _is_for_one_turn(message: Fields) -> bool:
    if message.raw.get("role") != "system" or not message.has("clear_at"):
        return False
    return message.choice("clear_at", ("next_user_message", "never")) == "next_user_message"


def parse_system_message(message: Fields, losses: Losses) -> tuple[TextPart, ...]:
    """The texts of one message, which may hold none."""
    if not isinstance(message.raw.get("content"), list):
        return parse_system_texts(message, "content")
    for block in _changes(message):
        if block.has("cache_control"):
            losses.drop("messages[].content[].cache_control", "Nothing stands in the conversation where tools come and go.")
    return tuple(parse_text(block) for block in message.objects("content") if block.text("type") not in (_ADDITION, _REMOVAL))


def offered_tools(tools: tuple[Tool, ...], messages: Iterable[Fields], parse_tool: Callable[[Fields], Tool]) -> tuple[Tool, ...]:
    """The tools that the model may call at the end of a conversation: those of the request, with all changes on the way."""
    changes = [block for message in messages if message.raw.get("role") == "system" for block in _changes(message)]
    if not changes:
        return tools
    known = {tool.name: tool for tool in tools}
    offered = dict(known)
    for block in changes:
        tool, is_removal = block.object("tool"), block.text("type") == _REMOVAL
        name = _defined(tool, known, parse_tool) if tool.text("type") == "tool_definition" and not is_removal else _referred(tool, known)
        if is_removal:
            offered.pop(name, None)
        else:
            offered[name] = known[name]
    return tuple(offered.values())


def stated_effort(messages: Iterable[Fields]) -> Effort | None:
    """The effort that was stated last, if any was."""
    level: Effort | None = None
    for message in messages:
        config = message.object_or_none("output_config") if message.raw.get("role") == "system" else None
        if config is not None:
            config.check_names("effort")
            level = config.choice_or_none("effort", EFFORTS) or level
    return level


def _changes(message: Fields) -> Iterator[Fields]:
    if isinstance(message.raw.get("content"), list):
        yield from (block for block in message.objects("content") if block.text("type") in (_ADDITION, _REMOVAL))


def _defined(tool: Fields, known: dict[str, Tool], parse_tool: Callable[[Fields], Tool]) -> str:
    defined = parse_tool(tool.object("definition"))
    known[defined.name] = defined
    return defined.name


def _referred(tool: Fields, known: dict[str, Tool]) -> str:
    if tool.text("type") != "tool_reference":
        raise unsupported(tool.at("type"), "Tools of other kinds have no equivalent for this model.")
    if tool.text("name") not in known:
        raise tool.wrong("name", "the name of a tool that the request defines")
    return tool.text("name")
