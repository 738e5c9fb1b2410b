"""Claude tells words in blocks that follow each other, as where it names its sources; in Responses they are one message, with one text."""

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.translation import render_caller_response

DEFAULTS = AnswerDefaults("resp_1", "m", 1_800_000_000)
EVENT = TypeAdapter(ResponseStreamEvent)
PAGE = {"type": "web_search_result_location", "url": "https://example.com", "title": "t", "cited_text": "c", "encrypted_index": "i"}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
CITED = {"type": "url_citation", "url": "https://example.com", "title": "t", "start_index": 4, "end_index": 8}


def words(text, *pages):
    return {"type": "text", "text": text, "citations": list(pages)}


def whole(*content, stop="end_turn"):
    message = {"id": "msg_1", "model": "c", "content": content, "stop_reason": stop, "usage": {"input_tokens": 1, "output_tokens": 1}}
    rendered = render_caller_response(msgspec.json.encode(message), "openai_responses", "anthropic_messages", DEFAULTS)
    return Response.model_validate(rendered)


def blocks(*content):
    """The events of a stream that tells these blocks."""
    for index, block in enumerate(content):
        yield {"type": "content_block_start", "index": index, "content_block": {**block, "text": ""} if "text" in block else block}
        if "text" in block:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": block["text"]}}
        for page in block.get("citations", ()):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": "citations_delta", "citation": page}}
        yield {"type": "content_block_stop", "index": index}


def streamed(replayed, events, *content, stop="end_turn"):
    usage = {"input_tokens": 1, "output_tokens": 1}
    begun = {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": usage}}
    ended = ({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}, {"type": "message_stop"})
    told = [(each["type"], msgspec.json.encode(each)) for each in (begun, *blocks(*content), *ended)]
    return [EVENT.validate_json(data) for _, data in events(replayed("openai_responses", "anthropic_messages", told)) if data]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([words("One "), words("two.", PAGE), words(" Three.")], [("message", [("One two. Three.", [CITED])])]),
        ([words("a"), CALL, words("b"), words("c")], [("message", [("a", [])]), ("function_call", []), ("message", [("bc", [])])]),
    ],
)
def test_words_that_follow_each_other_are_one_message(replayed, events, content, expected):
    def of(response):
        return [
            (item.type, [(part.text, [note.model_dump() for note in part.annotations]) for part in getattr(item, "content", None) or ()])
            for item in response.output
        ]

    assert of(whole(*content)) == expected
    stream = streamed(replayed, events, *content)
    assert of(stream[-1].response) == expected
    assert [event.sequence_number for event in stream] == list(range(len(stream)))
    done = [event for event in stream if event.type == "response.output_text.done"]
    deltas = [event for event in stream if event.type == "response.output_text.delta"]
    assert "".join(event.text for event in done) == "".join(event.delta for event in deltas)
    assert len([event for event in stream if event.type == "response.output_item.done"]) == len(expected)
    assert len([event for event in stream if event.type == "response.output_text.annotation.added"]) == str(expected).count("url_citation")


def test_words_that_break_off_are_unfinished_once(replayed, events):
    content = [words("One "), words("two")]
    stream = streamed(replayed, events, *content, stop="max_tokens")
    for response in (whole(*content, stop="max_tokens"), stream[-1].response):
        assert [(item.status, item.content[0].text) for item in response.output] == [("incomplete", "One two")]


def test_words_are_told_whole_before_an_error(replayed, events):
    begun = {"type": "message_start", "message": {"id": "msg_1", "model": "c"}}
    failed = {"type": "error", "error": {"type": "overloaded_error", "message": "Over."}}
    told = [(each["type"], msgspec.json.encode(each)) for each in (begun, *blocks(words("One "), words("two")), failed)]
    kinds = [kind for kind, _ in events(replayed("openai_responses", "anthropic_messages", told))]
    assert kinds[-4:] == ["response.content_part.done", "response.output_item.done", "error", "response.failed"]
