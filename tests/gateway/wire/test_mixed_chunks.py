"""Chunks in which text and pieces of tool calls come mixed, which Chat Completions allows: in other formats one block follows the other."""

import msgspec
import pytest

from keyhouse.gateway.wire.openai_chat import call_order
from tests.gateway.wire.test_streams import piece, replied

CALL = ("tool_use", "f", {"at": 1})


def told(message):
    return [(block.type, *((block.text,) if block.type == "text" else (block.name, block.input))) for block in message.content]


@pytest.mark.parametrize(
    ("deltas", "blocks"),
    [
        ([piece(0, '{"at"', "f"), {"content": "\n"}, piece(0, ":1}")], [CALL, ("text", "\n")]),
        ([piece(0, '{"at"', "f"), {"content": "a", **piece(0, ":1}")}], [CALL, ("text", "a")]),
        ([piece(0, "", "f"), {"content": "a"}, {"content": "b"}, piece(0, '{"at":1}')], [CALL, ("text", "ab")]),
        ([piece(0, '{"at"', "f"), {"content": "a"}, piece(0, ":1}"), {"content": "b"}], [CALL, ("text", "ab")]),
        ([piece(0, '{"at"', "f"), {"content": "a"}, piece(0, ":1}"), piece(1, '{"at":1}', "f")], [CALL, CALL, ("text", "a")]),
        ([{"content": "a"}, piece(0, '{"at":1}', "f"), {"content": "b"}], [("text", "a"), CALL, ("text", "b")]),
        ([piece(0, "", "f"), {"content": "a"}], [("tool_use", "f", {}), ("text", "a")]),
    ],
)
def test_text_between_the_pieces_of_a_call_follows_it(replayed, deltas, blocks):
    assert told(replied(replayed, *deltas)) == blocks


def test_thoughts_and_refusals_between_the_pieces_of_a_call_follow_it_in_order(replayed):
    said = [{"reasoning_content": "Hm."}, {"content": "a"}, {"reasoning_content": "Ah."}, {"refusal": "No."}]
    message = replied(replayed, piece(0, '{"at"', "f"), *said, piece(0, ":1}"))
    assert [block.type for block in message.content] == ["tool_use", "thinking", "text", "thinking", "text"]
    assert message.content[-1].text == "No."


@pytest.mark.parametrize("arguments", ['{"at":1}', '{"at":"\\ud83d"}'])
def test_text_behind_a_whole_call_is_not_held(replayed, events, arguments):
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in (piece(0, arguments, "f"), {"content": "a"})]
    stream = replayed("anthropic_messages", "openai_chat", [(None, msgspec.json.encode(chunk)) for chunk in chunks])
    kinds = [kind for kind, _ in events(stream) if kind != "ping"]
    assert kinds[-4:] == ["content_block_stop", "content_block_start", "content_block_delta", "error"]


def test_arguments_in_many_pieces_are_read_as_a_whole_once(replayed, monkeypatch):
    read, is_json = [], call_order._is_json
    monkeypatch.setattr(call_order, "_is_json", lambda text: read.append(text) or is_json(text))
    pieces = ['{"at":1,"in":[{}', *[",{}"] * 300, ',"}\\', '"]"', "]}"]
    message = replied(replayed, *(piece(0, text, None if number else "f") for number, text in enumerate(pieces)), piece(1, '{"at":1}', "g"))
    assert [block.name for block in message.content] == ["f", "g"]
    assert read == ["".join(pieces), '{"at":1}']


@pytest.mark.parametrize(("pieces", "is_complete"), [(["{}", " "], True), (["{}", "x"], False), (["{", "}{", "}"], False), (["}{"], False)])
def test_arguments_are_complete_where_they_are_one_value(pieces, is_complete):
    call = call_order._Call(())
    for text in pieces:
        call.add(text)
    assert call.is_complete is is_complete
