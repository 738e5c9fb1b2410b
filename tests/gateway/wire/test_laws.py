"""Laws of the translation: it never crashes, keeps the meaning there and back, and ends every stream once."""

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.sse import SseParser
from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_error, render_caller_response, render_upstream_request

PAIRS = [
    ("openai_chat", "anthropic_messages"),
    ("openai_chat", "bedrock_converse"),
    ("anthropic_messages", "openai_chat"),
    ("anthropic_messages", "bedrock_converse"),
]
DEFAULTS = AnswerDefaults("id", "model", 1, include_usage=True)
MODELS = [
    "claude-opus-5-5",
    "claude-sonnet-4-5",
    "claude-3-haiku",
    "anthropic.claude-opus-4-6-v1",
    "amazon.nova-2-lite",
    "openai.gpt-oss",
    "other",
]

WORDS = Path(__file__).with_name("recorded").joinpath("words.txt").read_text().split()
words = st.sampled_from(WORDS)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3000), st.floats(allow_nan=False, allow_infinity=False), words, st.text(max_size=3)
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=5)), max_leaves=25
)
bodies = st.dictionaries(words, values, max_size=6)


def refusal(function, *arguments) -> Error | None:
    try:
        function(*arguments)
    except Error as error:
        return error
    return None


def tolerant(message_values):
    """Requests whose outer shape is right, so that the odd parts are reached."""
    messages = st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": message_values},
            optional={"tool_calls": values, "tool_call_id": values, "thinking_blocks": values, "clear_at": values, "output_config": values},
        ),
        max_size=3,
    )
    return st.builds(lambda body, messages: {**body, "model": "m", "messages": messages}, bodies, messages)


PARTS = {
    "text": {"text": values},
    "image_url": {"image_url": values},
    "file": {"file": values},
    "input_audio": {"input_audio": values},
    "image": {"source": values},
    "document": {"source": values, "title": values},
    "tool_use": {"id": values, "name": values, "input": values},
    "tool_result": {"tool_use_id": words, "content": values},
    "thinking": {"thinking": values, "signature": values},
    "search_result": {"title": values, "source": values, "content": values},
    "tool_reference": {"tool_name": values},
    "tool_addition": {"tool": values},
}
parts = st.one_of(
    [
        st.fixed_dictionaries({"type": st.just(kind), **members}, optional={"cache_control": values, "citations": values})
        for kind, members in PARTS.items()
    ]
)


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), st.sampled_from(MODELS), st.one_of(bodies, tolerant(values), tolerant(st.lists(parts, max_size=3))))
def test_any_object_is_rendered_or_refused_by_name(pair, model, body):
    error = refusal(render_upstream_request, body, *pair, UpstreamModel(model))
    assert error is None or error.code in (Code.BAD_REQUEST, Code.UNSUPPORTED_PARAMETER)


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), tolerant(st.lists(parts, max_size=3)))
def test_what_is_rendered_can_be_encoded(pair, body):
    try:
        result = render_upstream_request(body, *pair, UpstreamModel("other"))
    except Error:
        return
    assert msgspec.json.decode(msgspec.json.encode(result.body)) == result.body


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), st.one_of(st.binary(max_size=30), bodies.map(lambda body: json.dumps(body).encode())))
def test_any_answer_is_rendered_or_refused_by_name(pair, body):
    error = refusal(render_caller_response, body, *pair, DEFAULTS)
    assert error is None or error.code is Code.UPSTREAM_INVALID_ANSWER


@given(st.sampled_from(PAIRS), st.integers(400, 599), st.one_of(st.binary(max_size=30), bodies.map(lambda body: json.dumps(body).encode())))
def test_any_error_is_rendered(pair, status, body):
    assert isinstance(render_caller_error(status, body, *pair)["error"]["message"], str)


def read(stream: bytes) -> list[tuple[str, bytes]]:
    parser = SseParser()
    events = [(event.event, event.data) for event in parser.feed(stream)]
    assert not stream or stream.endswith(b"\n\n")
    return events


def is_final(event: tuple[str, bytes]) -> bool:
    return event[1] == b"[DONE]" or event[0] in ("error", "message_stop") or "error" in msgspec.json.decode(event[1])


names = st.sampled_from(
    [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "x",
        "throttlingException",
        None,
    ]
)
event_data = st.one_of(
    bodies.map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=10),
    st.just(b"[DONE]"),
    st.just(b'{"type":"message_start","message":{}}'),
    st.just(b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'),
    st.just(b'{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}'),
)


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), st.lists(st.tuples(names, event_data), max_size=8))
def test_any_stream_ends_once(pair, stream):
    translation = StreamTranslation(*pair, DEFAULTS)
    rendered = b"".join([*(translation.feed(name, data) for name, data in stream), translation.end()])
    events = read(rendered)
    assert [is_final(event) for event in events] == [False] * (len(events) - 1) + [True]


# An answer as its wire events, in the three formats, from one description: what is said must come out the same from all of them.

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
arguments = st.dictionaries(texts, st.one_of(st.integers(-9, 9), texts, st.none()), max_size=2)
described_parts = st.one_of(
    st.tuples(st.just("text"), st.lists(texts, min_size=1, max_size=3)),
    st.tuples(st.just("thinking"), st.lists(texts, min_size=1, max_size=3)),
    st.tuples(st.just("call"), arguments),
)
descriptions = st.lists(described_parts, max_size=5)


def pieces(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]]


def as_messages(description):
    yield None, {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}}}
    for index, (kind, said) in enumerate(description):
        start, deltas = {
            "text": ({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said]),
            "thinking": (
                {"type": "thinking", "thinking": "", "signature": ""},
                [*({"type": "thinking_delta", "thinking": piece} for piece in said), {"type": "signature_delta", "signature": "s"}],
            ),
            "call": (
                {"type": "tool_use", "id": f"t{index}", "name": "f", "input": {}},
                [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(json.dumps(said))] if kind == "call" else [],
            ),
        }[kind]
        yield None, {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield None, {"type": "content_block_delta", "index": index, "delta": delta}
        yield None, {"type": "content_block_stop", "index": index}
    reason = "tool_use" if any(kind == "call" for kind, _ in description) else "end_turn"
    yield None, {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 7}}
    yield None, {"type": "message_stop"}


def as_converse(description):
    yield "messageStart", {"role": "assistant"}
    for index, (kind, said) in enumerate(description):
        if kind == "call":
            yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": f"t{index}", "name": "f"}}}
            deltas = [{"toolUse": {"input": piece}} for piece in pieces(json.dumps(said))]
        elif kind == "text":
            deltas = [{"text": piece} for piece in said]
        else:
            deltas = [*({"reasoningContent": {"text": piece}} for piece in said), {"reasoningContent": {"signature": "s"}}]
        for delta in deltas:
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": "tool_use" if any(kind == "call" for kind, _ in description) else "end_turn"}
    yield "metadata", {"usage": {"inputTokens": 3, "outputTokens": 7, "totalTokens": 10}}


def encoded(stream):
    return [(name, json.dumps(data).encode()) for name, data in stream]


def translated(caller, upstream, stream) -> bytes:
    translation = StreamTranslation(caller, upstream, DEFAULTS)
    return b"".join([*(translation.feed(name, data) for name, data in stream), translation.end()])


def heard_in_chunks(stream: bytes):
    said, thought, calls, finish = "", "", {}, None
    for _, data in read(stream)[:-1]:
        for choice in msgspec.json.decode(data)["choices"]:
            said += choice["delta"].get("content") or ""
            thought += choice["delta"].get("reasoning_content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                calls[call["index"]] = calls.get(call["index"], "") + call["function"].get("arguments", "")
            finish = choice["finish_reason"] or finish
    return said, thought, [json.loads(text) for text in calls.values()], finish


def heard_in_events(stream: bytes):
    said, thought, calls = "", "", []
    for _, data in read(stream):
        event = msgspec.json.decode(data)
        delta = event.get("delta", {})
        said += delta.get("text", "")
        thought += delta.get("thinking", "")
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            calls.append("")
        if "partial_json" in delta:
            calls[-1] += delta["partial_json"]
    return said, thought, [json.loads(text or "{}") for text in calls]


def described(description):
    said = "".join("".join(what) for kind, what in description if kind == "text")
    thought = "".join("".join(what) for kind, what in description if kind == "thinking")
    return said, thought, [what for kind, what in description if kind == "call"]


@settings(max_examples=200)
@given(descriptions)
def test_streams_say_the_same_in_every_format(description):
    expected = described(description)
    finish = "tool_calls" if expected[2] else "stop"
    chunks = translated("openai_chat", "anthropic_messages", encoded(as_messages(description)))
    assert heard_in_chunks(chunks) == (*expected, finish)
    assert heard_in_chunks(translated("openai_chat", "bedrock_converse", encoded(as_converse(description)))) == (*expected, finish)
    assert heard_in_events(translated("anthropic_messages", "bedrock_converse", encoded(as_converse(description)))) == expected
    back = translated("anthropic_messages", "openai_chat", read(chunks))
    assert heard_in_events(back) == expected
    assert read(back)[-1][0] == "message_stop"


@settings(max_examples=200)
@given(descriptions, st.lists(st.integers(0, 2000), max_size=8), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_streams_split_at_any_byte_say_the_same(description, cuts, line_end):
    stream = b"".join(b"event: x\ndata: " + data + b"\n\n" for _, data in encoded(as_messages(description))).replace(b"\n", line_end)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parser, translation = SseParser(), StreamTranslation("openai_chat", "anthropic_messages", DEFAULTS)
    rendered = b"".join(
        translation.feed(event.event, event.data) for start, end in pairwise(edges) for event in parser.feed(stream[start:end])
    )
    assert heard_in_chunks(rendered)[:3] == described(description)


# There and back: a chat request, rendered for another format and parsed as if a caller had sent it, is the request it was.

tools = st.lists(
    st.builds(
        lambda name, description, strict: {
            "type": "function",
            "function": {
                "name": name,
                **({"description": description} if description else {}),
                "parameters": {"type": "object", "properties": {"a": {}}},
                **({"strict": True} if strict else {}),
            },
        },
        st.sampled_from(["f", "g", "h"]),
        st.sampled_from(["", "d"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool["function"]["name"],
)
spoken = st.text(st.characters(codec="utf-8"), max_size=5).map(lambda text: "a" + text)
images = st.sampled_from(["data:image/png;base64,aGk=", "https://example.com/a.png"])
user_content = st.one_of(
    spoken,
    st.lists(spoken.map(lambda text: {"type": "text", "text": text}), min_size=2, max_size=3),
    st.tuples(spoken, images).map(lambda pair: [{"type": "text", "text": pair[0]}, {"type": "image_url", "image_url": {"url": pair[1]}}]),
)


@st.composite
def conversations(draw):
    messages = [{"role": "system", "content": draw(spoken)}] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(user_content)})
        calls = draw(st.lists(arguments, max_size=2))
        if not calls:
            messages.append({"role": "assistant", "content": draw(spoken)})
            continue
        called = [
            {"id": f"c{turn}_{index}", "type": "function", "function": {"name": "f", "arguments": msgspec.json.encode(each).decode()}}
            for index, each in enumerate(calls)
        ]
        messages.append({"role": "assistant", **({"content": draw(spoken)} if draw(st.booleans()) else {}), "tool_calls": called})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(spoken)} for call in called]
        messages.append({"role": "assistant", "content": draw(spoken)})
    return messages


requests = st.builds(
    lambda messages, tools, members: {"model": "our-model", "messages": messages, "tools": tools, "max_completion_tokens": 9000, **members},
    conversations(),
    tools,
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0, 0.5, 1]),
            "top_p": st.sampled_from([0.5, 1]),
            "stop": st.just(["END", "."]),
            "tool_choice": st.sampled_from(["auto", "required", {"type": "function", "function": {"name": "f"}}]),
            "user": st.just("u"),
            "response_format": st.just(
                {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}
            ),
        },
    ),
)


@settings(max_examples=200)
@given(requests, st.booleans())
def test_chat_request_survives_the_way_there_and_back(request, one_at_a_time):
    if one_at_a_time and "tool_choice" in request:
        request["parallel_tool_calls"] = False
    there = render_upstream_request(request, "openai_chat", "anthropic_messages", UpstreamModel("our-model"))
    back = render_upstream_request(there.body, "anthropic_messages", "openai_chat", UpstreamModel("our-model"))
    assert (there.dropped, back.dropped) == ((), ())
    assert back.body == request


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh", "max"])
def test_effort_survives_the_way_there_and_back(effort):
    request = {
        "model": "claude-opus-5-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 9000,
        "reasoning_effort": effort,
    }
    there = render_upstream_request(request, "openai_chat", "anthropic_messages", UpstreamModel("claude-opus-5-5"))
    back = render_upstream_request(there.body, "anthropic_messages", "openai_chat", UpstreamModel("claude-opus-5-5"))
    assert back.body == request
