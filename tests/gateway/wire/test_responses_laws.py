"""Laws of the translations from and to Responses: as `test_laws` has them for the other formats."""

import json
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhouse.domain.errors import Code
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_error, render_caller_response, render_upstream_request
from tests.gateway.wire import test_laws as laws

CALLED = [("openai_responses", upstream) for upstream in ("openai_chat", "anthropic_messages", "bedrock_converse")]
PAIRS = [*CALLED, ("anthropic_messages", "openai_responses")]
MODELS = [*laws.MODELS, "gpt-6-sol", "gpt-5.4", "gemini-3-flash", "deepseek-v4"]
WORDS = Path(__file__).with_name("recorded").joinpath("words_of_responses.txt").read_text().split()
words = st.sampled_from([*WORDS, *laws.WORDS])
values = st.recursive(
    laws.scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=5)), max_leaves=25
)
bodies = st.dictionaries(words, values, max_size=6)
KINDS = [
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "output_text",
    "input_text",
    "input_image",
    "input_file",
    "refusal",
]
EVENTS = [
    "created",
    "in_progress",
    "output_item.added",
    "output_item.done",
    "output_text.delta",
    "refusal.delta",
    "function_call_arguments.delta",
    "reasoning_summary_part.added",
    "reasoning_summary_text.delta",
    "completed",
    "incomplete",
    "failed",
]


def typed(kinds):
    """Objects of these types with members of any kind."""
    return st.builds(lambda kind, body: {**body, "type": kind}, st.sampled_from(kinds), bodies)


parts = st.lists(typed(KINDS), max_size=3)
items = st.lists(
    st.builds(
        lambda item, content, role: {**item, "content": content, "role": role}, typed(KINDS), parts, st.sampled_from(["user", "assistant"])
    ),
    max_size=4,
)
tolerant = st.builds(
    lambda body, items, tools: {**body, "model": "m", "input": items, "tools": tools},
    bodies,
    items,
    st.lists(typed(["function", "namespace", "web_search", "custom"]), max_size=2),
)


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), st.sampled_from(MODELS), st.one_of(bodies, tolerant))
def test_any_object_is_rendered_or_refused_by_name(pair, model, body):
    bodies = []
    error = laws.refusal(lambda: bodies.append(render_upstream_request(body, *pair, UpstreamModel(model)).body))
    assert error is None or error.code in (Code.BAD_REQUEST, Code.UNSUPPORTED_PARAMETER)
    assert [msgspec.json.decode(msgspec.json.encode(rendered)) for rendered in bodies] == bodies


answers = st.builds(lambda body, output: {**body, "output": output, "error": None}, bodies, st.lists(typed(KINDS), max_size=3))


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), st.one_of(st.binary(max_size=30), st.one_of(bodies, answers).map(lambda body: json.dumps(body).encode())))
def test_any_answer_is_rendered_or_refused_by_name(pair, body):
    error = laws.refusal(render_caller_response, body, *pair, laws.DEFAULTS)
    assert error is None or error.code is Code.UPSTREAM_INVALID_ANSWER


@given(st.sampled_from(PAIRS), st.integers(400, 599), st.one_of(st.binary(max_size=30), bodies.map(lambda body: json.dumps(body).encode())))
def test_any_error_is_rendered(pair, status, body):
    assert isinstance(render_caller_error(status, body, *pair)["error"]["message"], str)


event_data = st.one_of(
    laws.event_data,
    st.builds(lambda kind, body: json.dumps({**body, "type": f"response.{kind}"}).encode(), st.sampled_from(EVENTS), bodies),
    st.just(b'{"type":"response.created","response":{}}'),
    st.just(b'{"type":"response.output_text.delta","delta":"x"}'),
    st.just(b'{"type":"response.output_item.added","item":{"type":"function_call","call_id":"c","name":"f"}}'),
    st.just(b'{"type":"response.completed","response":{"status":"completed"}}'),
)
FINAL = ("message_stop", "response.completed", "response.incomplete", "response.failed")


@settings(max_examples=300)
@given(st.sampled_from(PAIRS), st.lists(st.tuples(laws.names, event_data), max_size=8))
def test_any_stream_ends_once(pair, stream):
    translation = StreamTranslation(*pair, laws.DEFAULTS)
    events = laws.read(b"".join([*(translation.feed(name, data) for name, data in stream), translation.end()]))
    names = [name for name, _ in events]
    if pair[0] == "anthropic_messages":
        names = ["response.failed" if name == "error" else name for name in names]
    assert [name in FINAL for name in names] == [False] * (len(names) - 1) + [True]
    assert names.count("error") <= 1


@settings(max_examples=200)
@given(laws.descriptions)
def test_streams_say_the_same_in_every_format(description):
    expected = laws.described(description)
    for upstream, stream in (("anthropic_messages", laws.as_messages(description)), ("bedrock_converse", laws.as_converse(description))):
        there = laws.translated("openai_responses", upstream, laws.encoded(stream))
        [*_, (last, data)] = laws.read(there)
        assert last == "response.completed"
        response = msgspec.json.decode(data)["response"]
        assert heard_in_items(response["output"]) == expected
        back = laws.translated("anthropic_messages", "openai_responses", laws.read(there))
        assert laws.heard_in_events(back) == expected
        assert laws.read(back)[-1][0] == "message_stop"


def heard_in_items(output):
    said = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
    thought = "".join(part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"])
    return said, thought, [json.loads(item["arguments"]) for item in output if item["type"] == "function_call"]
