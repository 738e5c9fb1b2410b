"""Recorded-shape streams, translated, and read with the official packages' own types and accumulators."""

import httpx2
import msgspec
import pytest
from anthropic import Anthropic, APIStatusError
from anthropic.types import RawMessageStreamEvent
from openai import APIError, OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

MESSAGE_EVENT = TypeAdapter(RawMessageStreamEvent)


def chunks_of(stream, events):
    return [ChatCompletionChunk.model_validate_json(data, strict=True) for _, data in events(stream) if data != b"[DONE]"]


def served(stream: bytes) -> httpx2.Client:
    """A client whose every request is answered with these bytes: the package reads them as it would read a provider's."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return httpx2.Client(transport=httpx2.MockTransport(lambda request: answer))


def accumulated_completion(stream: bytes):
    with (
        OpenAI(api_key="k", http_client=served(stream), max_retries=0) as client,
        client.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream_options={"include_usage": True}
        ) as read,
    ):
        read.until_done()
        return read.get_final_completion()


def accumulated_message(stream: bytes):
    with (
        Anthropic(api_key="k", http_client=served(stream), max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=10, messages=[{"role": "user", "content": "Hi"}]) as read,
    ):
        return read.get_final_message()


def test_text_of_messages_arrives_as_chunks_in_order(recorded, replayed, events):
    stream = replayed("openai_chat", "anthropic_messages", recorded("messages_text.sse"))
    chunks = chunks_of(stream, events)
    assert [chunk.choices[0].delta.content for chunk in chunks] == [None, None, "Good ", "evening.", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, None, "stop"]
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {("msg_01", "claude-opus-5-5", 1_800_000_000)}
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert events(stream)[-1] == (None, b"[DONE]")


def test_usage_chunk_comes_last_and_only_when_asked_for(recorded, replayed, events):
    stream = replayed("openai_chat", "anthropic_messages", recorded("messages_text.sse"), include_usage=True)
    *others, last = chunks_of(stream, events)
    assert last.choices == []
    assert last.usage.prompt_tokens == 135
    assert last.usage.prompt_tokens_details.cached_tokens == 100
    assert last.usage.prompt_tokens_details.cache_write_tokens == 10
    assert (last.usage.completion_tokens, last.usage.total_tokens) == (15, 150)
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in others)


@pytest.mark.parametrize(
    ("upstream", "name", "ids"),
    [
        ("anthropic_messages", "messages_thinking_and_tools.sse", ["toolu_01", "toolu_02"]),
        ("bedrock_converse", "converse_thinking_and_tools.jsonl", ["tooluse_1", "tooluse_2"]),
    ],
)
def test_thinking_and_parallel_calls_accumulate_into_a_completion(recorded, replayed, upstream, name, ids):
    completion = accumulated_completion(replayed("openai_chat", upstream, recorded(name), include_usage=True))
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    assert [call.id for call in choice.message.tool_calls] == ids
    assert [(call.function.name, msgspec.json.decode(call.function.arguments)) for call in choice.message.tool_calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_time", {}),
    ]
    message = choice.message.model_dump()
    assert message["reasoning_content"] == "Two cities, two calls."
    block = message["thinking_blocks"][0]
    assert (block["thinking"], block["signature"]) == ("Two cities, two calls.", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h")
    assert completion.usage.completion_tokens == 89


def test_redacted_thinking_reaches_the_caller(recorded, replayed):
    stream = replayed("openai_chat", "anthropic_messages", recorded("messages_thinking_and_tools.sse"))
    message = accumulated_completion(stream).choices[0].message.model_dump()
    assert message["thinking_blocks"][1] == {"index": 1, "type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}


def test_converse_usage_counts_the_cache(recorded, replayed, events):
    stream = replayed("openai_chat", "bedrock_converse", recorded("converse_thinking_and_tools.jsonl"), include_usage=True)
    usage = chunks_of(stream, events)[-1].usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.total_tokens) == (135, 100, 224)


def test_refusal_finishes_as_content_filter(recorded, replayed, events):
    chunks = chunks_of(replayed("openai_chat", "anthropic_messages", recorded("messages_refusal.sse")), events)
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert chunks[-1].choices[0].delta.refusal == "This was declined."


@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        ("openai_chat", "chunks_text.sse"),
        ("openai_chat", "chunks_reasoning_and_tools.sse"),
        ("bedrock_converse", "converse_thinking_and_tools.jsonl"),
        ("anthropic_messages", "messages_thinking_and_tools.sse"),
        ("anthropic_messages", "messages_refusal.sse"),
    ],
)
def test_message_events_are_well_formed(recorded, replayed, events, upstream, name):
    rendered = events(replayed("anthropic_messages", upstream, recorded(name)))
    parsed = [MESSAGE_EVENT.validate_json(data) for kind, data in rendered if kind != "ping"]
    assert [kind for kind, _ in rendered if kind != "ping"] == [event.type for event in parsed]
    assert (parsed[0].type, parsed[-2].type, parsed[-1].type) == ("message_start", "message_delta", "message_stop")
    open_index, next_index = None, 0
    for event in parsed[1:-2]:
        if event.type == "content_block_start":
            assert open_index is None
            assert event.index == next_index
            open_index, next_index = event.index, next_index + 1
        else:
            assert event.index == open_index
            open_index = None if event.type == "content_block_stop" else open_index
    assert open_index is None


def test_chunks_accumulate_into_a_message(recorded, replayed):
    message = accumulated_message(replayed("anthropic_messages", "openai_chat", recorded("chunks_reasoning_and_tools.sse")))
    thinking, text, weather, time = message.content
    assert (thinking.type, thinking.thinking) == ("thinking", "Two cities, two calls.")
    assert text.text == "Let me look."
    assert (weather.id, weather.name, weather.input) == ("call_1", "get_weather", {"city": "Paris"})
    assert (time.id, time.input) == ("call_2", {})
    assert message.stop_reason == "tool_use"
    assert (message.id, message.model) == ("c-2", "deepseek-reasoner")


def test_chunks_usage_reaches_the_message(recorded, replayed):
    message = accumulated_message(replayed("anthropic_messages", "openai_chat", recorded("chunks_text.sse")))
    assert message.content[0].text == "Good evening."
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (35, 100, 15)
    assert message.usage.output_tokens_details.thinking_tokens == 5
    assert message.stop_reason == "end_turn"


def test_converse_accumulates_into_a_message(recorded, replayed):
    message = accumulated_message(replayed("anthropic_messages", "bedrock_converse", recorded("converse_thinking_and_tools.jsonl")))
    assert message.content[0].signature == "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"
    assert message.content[2].input == {"city": "Paris"}
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (25, 100)
    assert message.id == "request-1"


@pytest.mark.parametrize(
    ("upstream", "name", "message"),
    [
        ("anthropic_messages", "messages_overloaded.sse", "Overloaded"),
        ("bedrock_converse", "converse_throttled.jsonl", "Too many tokens, please wait before trying again."),
    ],
)
def test_error_of_upstream_ends_the_chunks(recorded, replayed, upstream, name, message):
    stream = replayed("openai_chat", upstream, recorded(name))
    assert b"[DONE]" not in stream
    assert b'"Well"' in stream
    with pytest.raises(APIError) as raised:
        accumulated_completion(stream)
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("upstream", "name", "kind"),
    [("openai_chat", "chunks_error.sse", "api_error"), ("bedrock_converse", "converse_throttled.jsonl", "rate_limit_error")],
)
def test_error_of_upstream_ends_the_message(recorded, replayed, events, upstream, name, kind):
    stream = replayed("anthropic_messages", upstream, recorded(name))
    last, data = events(stream)[-1]
    assert last == "error"
    assert msgspec.json.decode(data)["error"]["type"] == kind
    with pytest.raises(APIStatusError):
        accumulated_message(stream)


@pytest.mark.parametrize("caller", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        ("anthropic_messages", "messages_thinking_and_tools.sse"),
        ("openai_chat", "chunks_reasoning_and_tools.sse"),
        ("bedrock_converse", "converse_thinking_and_tools.jsonl"),
    ],
)
def test_stream_cut_after_any_event_ends_in_an_error_once(recorded, replayed, events, caller, upstream, name):
    stream = recorded(name)
    for length in range(len(stream)):
        cut = replayed(caller, upstream, stream[:length])
        data = [msgspec.json.decode(data) for _, data in events(cut)]
        assert [("error" in event) for event in data] == [False] * (len(data) - 1) + [True]
        assert b"[DONE]" not in cut
        assert b"message_stop" not in cut


def test_nothing_follows_the_end(recorded, replayed, events):
    stream = recorded("messages_text.sse")
    assert replayed("openai_chat", "anthropic_messages", stream + stream) == replayed("openai_chat", "anthropic_messages", stream)


def test_finish_reason_stop_beside_calls_is_tool_use(recorded, replayed):
    stream = [
        (name, data.replace(b'"finish_reason":"tool_calls"', b'"finish_reason":"stop"'))
        for name, data in recorded("chunks_reasoning_and_tools.sse")
    ]
    assert accumulated_message(replayed("anthropic_messages", "openai_chat", stream)).stop_reason == "tool_use"


def test_done_without_a_finish_reason_is_an_error(recorded, replayed, events):
    stream = [event for event in recorded("chunks_text.sse") if b'"finish_reason":"stop"' not in event[1]]
    assert events(replayed("anthropic_messages", "openai_chat", stream))[-1][0] == "error"


def test_call_that_is_gone_back_to_is_an_error(recorded, replayed, events):
    stream = recorded("chunks_reasoning_and_tools.sse")
    late = [*stream[:7], stream[5]]
    kind, data = events(replayed("anthropic_messages", "openai_chat", late))[-1]
    assert kind == "error"
    assert b"went back" in data


def test_unknown_events_and_deltas_are_passed_over(recorded, replayed):
    stream = recorded("messages_text.sse")
    odd = [
        ("news", b'{"type":"news"}'),
        ("content_block_delta", b'{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}'),
    ]
    assert replayed("openai_chat", "anthropic_messages", stream[:3] + odd + stream[3:]) == replayed(
        "openai_chat", "anthropic_messages", stream
    )


def test_ping_keeps_both_kinds_of_callers_awake(recorded, replayed):
    told = replayed("openai_chat", "anthropic_messages", recorded("messages_text.sse"))
    assert b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":null}]' in told
    assert all(line.startswith(b"data: ") for line in told.splitlines() if line)
    assert b"event: ping\n" in replayed("anthropic_messages", "openai_chat", recorded("chunks_text.sse"))


def start(index=0):
    return {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}


def more(index=0):
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": "x"}}


BEGIN = {"type": "message_start", "message": {}}
STOP = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}


@pytest.mark.parametrize(
    "sequence",
    [
        [start()],
        [STOP],
        [BEGIN, BEGIN],
        [BEGIN, start(), start(1)],
        [BEGIN, more()],
        [BEGIN, start(), more(1)],
        [BEGIN, start(), {"type": "content_block_stop", "index": 1}],
        [BEGIN, start(), STOP],
        [BEGIN, {"type": "message_stop"}],
    ],
)
def test_message_events_out_of_order_are_an_error(replayed, events, sequence):
    *good, bad = [(event["type"], msgspec.json.encode(event)) for event in sequence]
    stream = replayed("openai_chat", "anthropic_messages", [*good, bad, *[(None, b'{"type":"message_stop"}')] * 2])
    error = msgspec.json.decode(events(stream)[-1][1])["error"]
    assert error["code"] in ("upstream_invalid_answer", "upstream_stream_incomplete")
    assert stream == replayed("openai_chat", "anthropic_messages", [*good, bad])


@pytest.mark.parametrize(
    "sequence",
    [
        [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}})],
        [("messageStart", {}), ("metadata", {})],
        [("messageStart", {}), ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}})],
        [("messageStart", {}), ("messageStop", {"stopReason": "malformed_tool_use"})],
    ],
)
def test_converse_events_out_of_order_are_an_error(replayed, events, sequence):
    stream = [(name, msgspec.json.encode(data)) for name, data in sequence]
    rendered = replayed(
        "anthropic_messages", "bedrock_converse", [*stream, ("messageStop", b'{"stopReason":"end_turn"}'), ("metadata", b"{}")]
    )
    assert events(rendered)[-1][0] == "error"
    assert b"message_stop" not in rendered
    assert rendered == replayed("anthropic_messages", "bedrock_converse", stream)


def test_calls_without_id_or_index_get_one_that_no_other_call_has(replayed):
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [call], "reasoning": {"odd": 1}}}]} for call in calls]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    stream = [(None, msgspec.json.encode(chunk)) for chunk in (*chunks, last)]
    said = [accumulated_message(replayed("anthropic_messages", "openai_chat", [*stream, (None, b"[DONE]")])).content for _ in range(2)]
    assert [[block.name for block in blocks] for blocks in said] == [["f", "g"]] * 2
    assert len({block.id for blocks in said for block in blocks}) == 4


def replied(replayed, *deltas):
    """The message that these deltas become, and the end of a stream after them."""
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    stream = [(None, msgspec.json.encode(chunk)) for chunk in (*chunks, last)]
    return accumulated_message(replayed("anthropic_messages", "openai_chat", [*stream, (None, b"[DONE]")]))


def test_content_in_blocks_is_streamed_in_order(replayed):
    thoughts = [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]} for text in ("Hm.", " Ah.")]
    message = replied(replayed, {"content": ""}, *thoughts, {"content": [{"type": "text", "text": "Fo"}]}, {"content": "ur"})
    assert [(block.type, getattr(block, block.type)) for block in message.content] == [("thinking", "Hm. Ah."), ("text", "Four")]


def test_parallel_calls_under_one_index_stay_apart(replayed):
    called = [{"index": 0, "id": name, "function": {"name": "f", "arguments": f'{{"at":"{name}"}}'}} for name in ("a", "b")]
    message = replied(replayed, *({"tool_calls": [call]} for call in called))
    assert [(block.id, block.input) for block in message.content] == [("a", {"at": "a"}), ("b", {"at": "b"})]


def piece(index, arguments, name=None):
    """A piece of a call; with a name it is the first."""
    begun = {} if name is None else {"id": name, "type": "function"}
    return {"tool_calls": [{"index": index, **begun, "function": {"arguments": arguments} | ({} if name is None else {"name": name})}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [piece(0, "", "a"), piece(1, "", "b"), piece(0, '{"at":'), piece(1, '{"at":'), piece(0, '"a"}'), piece(1, '"b"}')],
        [piece(0, "", "a"), piece(1, '{"at":"b"}', "b"), piece(0, '{"at":"a"}')],
        [piece(0, '{"at":"{}"', "a"), piece(1, '{"at":', "b"), piece(1, '"b"}'), piece(0, "}")],
        [piece(0, '{"at":"a"}', "a"), piece(1, '{"at":', "b"), piece(0, ""), piece(1, '"b"}')],
    ],
)
def test_calls_whose_pieces_are_mixed_follow_each_other(replayed, deltas):
    at = "{}" if deltas[0]["tool_calls"][0]["function"]["arguments"].startswith('{"at":"{') else "a"
    message = replied(replayed, *deltas)
    assert [(block.id, block.input) for block in message.content] == [("a", {"at": at}), ("b", {"at": "b"})]


def test_mixed_calls_wait_in_their_order(replayed):
    names = ("a", "b", "c")
    begun = [piece(index, "", name) for index, name in enumerate(names)]
    filled = [piece(index, f'{{"at":"{names[index]}"}}') for index in (2, 0, 1)]
    message = replied(replayed, *begun, *filled)
    assert [(block.id, block.input) for block in message.content] == [(name, {"at": name}) for name in names]


def test_a_call_without_arguments_holds_the_next_until_the_end(replayed):
    message = replied(replayed, piece(0, "", "a"), piece(1, '{"at":"b"}', "b"))
    assert [(block.id, block.input) for block in message.content] == [("a", {}), ("b", {"at": "b"})]


def test_a_call_is_not_held_once_the_one_before_is_complete(replayed, events):
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in (piece(0, '{"at":1}', "a"), piece(1, "", "b"))]
    stream = replayed("anthropic_messages", "openai_chat", [(None, msgspec.json.encode(chunk)) for chunk in chunks])
    assert [kind for kind, _ in events(stream) if kind != "ping"][-3:] == ["content_block_stop", "content_block_start", "error"]


def test_signature_of_a_call_is_kept_before_it(replayed):
    function = {"name": "f", "arguments": "{}"}
    signed = {"index": 0, "id": "a", "extra_content": {"google": {"thought_signature": "c2ln"}}, "function": function}
    message = replied(replayed, {"content": "Hm"}, {"tool_calls": [signed, {"index": 1, "id": "b", "function": function}]})
    assert [block.type for block in message.content] == ["text", "redacted_thinking", "tool_use", "tool_use"]
    assert message.content[1].data == "google:c2ln"


def test_arguments_may_be_an_object(replayed):
    [call] = replied(replayed, {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"at": 1}}}]}).content
    assert call.input == {"at": 1}


def test_a_stream_that_breaks_off_with_a_reason_is_an_error(replayed, events):
    chunks = [{"choices": [{"index": 0, "delta": {"content": "Ye"}, "finish_reason": reason}]} for reason in (None, "error")]
    stream = replayed("anthropic_messages", "openai_chat", [*((None, msgspec.json.encode(chunk)) for chunk in chunks), (None, b"[DONE]")])
    assert events(stream)[-1][0] == "error"


def test_a_call_whose_pieces_repeat_its_id_stays_one(replayed):
    pieces = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": part}} for part in ('{"at":', '"a"}')]
    [call] = replied(replayed, *({"tool_calls": [piece]} for piece in pieces)).content
    assert (call.id, call.input) == ("a", {"at": "a"})


@pytest.mark.parametrize("data", [b"", b"{", b'{"type":"\xb5"}', b"[]"])
def test_event_that_is_no_json_object_is_an_error(recorded, replayed, events, data):
    stream = replayed("openai_chat", "anthropic_messages", [*recorded("messages_text.sse")[:3], (None, data)])
    assert msgspec.json.decode(events(stream)[-1][1])["error"]["code"] == "upstream_invalid_answer"
