"""Searches of the web that clients of OpenAI's ask for, and Claude makes."""

import json

import msgspec
import pytest

from keyhouse.domain.errors import Code
from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.own_thoughts import may_hold_others, with_own_thoughts
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_response, render_upstream_request
from tests.gateway.wire.rendered_requests import refusal

DEFAULTS = AnswerDefaults("resp_1", "claude-opus-5-5", 1)
SEARCH = {"type": "web_search"}
FORCED = {"type": "web_search"}
READ = {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}}
ASKED_FOR = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def by_responses(*tools, model="claude-opus-4-8", upstream="anthropic_messages", **members):
    return render_upstream_request(
        {"model": "m", "input": "Hi", "tools": list(tools), **members}, "openai_responses", upstream, UpstreamModel(model)
    )


def by_chat(options, upstream="anthropic_messages", **members):
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "web_search_options": options, **members}
    return render_upstream_request(body, "openai_chat", upstream, UpstreamModel("claude-opus-4-8"))


@pytest.mark.parametrize("kind", ["web_search", "web_search_2025_08_26", "web_search_preview"])
def test_the_search_of_responses_becomes_claudes(kind):
    result = by_responses({"type": kind, "external_web_access": True}, READ)
    assert [tool["name"] for tool in result.body["tools"]] == ["read", "web_search"]
    assert result.body["tools"][1] == ASKED_FOR
    assert result.dropped == ()


def test_what_responses_says_of_its_search_is_kept():
    tool = {**SEARCH, "filters": {"allowed_domains": ["a.no"]}, "user_location": {"type": "approximate", "country": "NO", "city": None}}
    [sent] = by_responses(tool).body["tools"]
    assert sent == {**ASKED_FOR, "allowed_domains": ["a.no"], "user_location": {"type": "approximate", "country": "NO"}}
    [sent] = by_responses({**SEARCH, "filters": {"blocked_domains": ["b.no"]}, "user_location": {"type": "approximate"}}).body["tools"]
    assert sent == {**ASKED_FOR, "blocked_domains": ["b.no"]}


@pytest.mark.parametrize("size", ["low", "high"])
def test_how_much_is_read_is_claudes_own_decision(size):
    assert by_responses({**SEARCH, "search_context_size": size}).dropped == ("tools[].search_context_size",)
    assert by_chat({"search_context_size": size}).dropped == ("web_search_options.search_context_size",)
    assert by_responses({**SEARCH, "search_context_size": "medium"}).dropped == ()
    assert by_chat({"search_context_size": "medium"}).dropped == ()


def test_what_codex_offers_by_default_is_left_out_and_named():
    result = by_responses({**SEARCH, "external_web_access": False}, READ)
    assert [tool["name"] for tool in result.body["tools"]] == ["read"]
    assert result.dropped == ("tools[].web_search",)


@pytest.mark.parametrize("upstream", ["openai_chat", "bedrock_converse"])
def test_a_model_that_can_not_search_answers_without_unless_it_must(upstream):
    result = by_responses(SEARCH, READ, model="qwen.q", upstream=upstream)
    assert result.dropped == ("tools[].web_search",)
    error = refusal(by_responses, SEARCH, READ, model="qwen.q", upstream=upstream, tool_choice=FORCED)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tools.0.type")
    error = refusal(by_responses, SEARCH, model="qwen.q", upstream=upstream, drop_tuning_params=False)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tools[].web_search")


def allowed(*tools):
    return {"type": "allowed_tools", "mode": "auto", "tools": list(tools)}


@pytest.mark.parametrize(
    ("choice", "tools", "said"),
    [
        (FORCED, ["read", "web_search"], {"type": "tool", "name": "web_search"}),
        ("required", ["read", "web_search"], {"type": "any"}),
        ("none", ["read", "web_search"], {"type": "none"}),
        (allowed(SEARCH), ["web_search"], {"type": "auto"}),
        (allowed({"type": "function", "name": "read"}), ["read"], {"type": "auto"}),
        (allowed({"type": "function", "name": "read"}, SEARCH), ["read", "web_search"], {"type": "auto"}),
    ],
)
def test_the_choice_of_tools_knows_the_search(choice, tools, said):
    body = by_responses(READ, SEARCH, tool_choice=choice).body
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (tools, said)


def test_a_search_alone_can_be_chosen():
    assert by_responses(SEARCH, tool_choice=FORCED).body["tool_choice"] == {"type": "tool", "name": "web_search"}


@pytest.mark.parametrize("tools", [[READ], [READ, {**SEARCH, "external_web_access": False}]])
def test_a_search_that_is_not_there_can_not_be_forced(tools):
    error = refusal(by_responses, *tools, tool_choice=FORCED)
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tool_choice.type")


def test_models_that_take_no_forced_tool_are_told_in_words():
    result = by_responses(SEARCH, model="claude-fable-5-1", tool_choice=FORCED)
    assert (result.body["tool_choice"], result.dropped) == ({"type": "auto"}, ("tool_choice",))
    assert "Answer by calling the tool web_search" in json.dumps(result.body)


OWN = {"type": "function", "name": "web_search", "parameters": {"type": "object", "properties": {}}}
BY_OWN_NAME = {"type": "function", "name": "web_search"}


@pytest.mark.parametrize(
    ("choice", "forced"),
    [(FORCED, "web_search"), (BY_OWN_NAME, "web_search_2a719626"), (None, None), (allowed(SEARCH), None), (allowed(BY_OWN_NAME), None)],
)
def test_a_function_that_is_called_as_the_search_is_stands_beside_it_under_another_name(choice, forced):
    called = {"type": "function_call", "call_id": "c1", "name": "web_search", "arguments": "{}"}
    said = [{"role": "user", "content": "Hi"}, called, {"type": "function_call_output", "call_id": "c1", "output": "no"}]
    result = by_responses(OWN, SEARCH, input=said, **({} if choice is None else {"tool_choice": choice}))

    names = [tool["name"] for tool in result.body["tools"]]
    both = ["web_search_2a719626", "web_search"]
    assert names == (["web_search"] if choice in (allowed(SEARCH), allowed(BY_OWN_NAME)) else both)
    assert "type" in result.body["tools"][-1] or choice == allowed(BY_OWN_NAME)
    assert result.body.get("tool_choice", {}).get("name") == forced
    if names == both:
        assert result.body["messages"][1]["content"][0]["name"] == "web_search_2a719626"
        assert (result.tool_names, result.enforced) == ({"web_search_2a719626": "web_search"}, ("tools[].name=rewritten",))


def test_a_function_of_that_name_may_be_forced_where_the_search_is_missing():
    result = by_responses(OWN, SEARCH, model="qwen.q", upstream="openai_chat", tool_choice=BY_OWN_NAME)
    assert result.body["tool_choice"] == {"type": "function", "function": {"name": "web_search"}}
    assert result.dropped == ("tools[].web_search",)


def test_a_function_of_that_name_stands_beside_the_search_of_chat_completions():
    own = {"type": "function", "function": {"name": "web_search"}}
    result = by_chat({}, tools=[own], tool_choice=own)
    assert [tool["name"] for tool in result.body["tools"]] == ["web_search_2a719626", "web_search"]
    assert result.body["tool_choice"] == {"type": "tool", "name": "web_search_2a719626"}


def test_a_search_in_some_domains_and_not_in_others_is_refused():
    error = refusal(by_responses, {**SEARCH, "filters": {"allowed_domains": ["a.no"], "blocked_domains": ["b.a.no"]}})
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "tools.0.type")
    assert "send one of them" in error.message
    assert by_responses({**SEARCH, "filters": {"allowed_domains": ["a.no"], "blocked_domains": []}}).body["tools"][0]["allowed_domains"]


def test_chat_completions_ask_by_options():
    place = {"type": "approximate", "approximate": {"country": "NO", "city": "Oslo"}}
    assert by_chat({}).body["tools"] == [ASKED_FOR]
    [sent] = by_chat({"user_location": place}).body["tools"]
    assert sent == {**ASKED_FOR, "user_location": {"type": "approximate", "city": "Oslo", "country": "NO"}}


@pytest.mark.parametrize("options", [{"magic": 1}, {"user_location": {"approximate": {"city": 1}}}, {"search_context_size": 1}, "yes"])
def test_options_that_nobody_knows_are_refused(options):
    assert refusal(by_chat, options).code in (Code.UNSUPPORTED_PARAMETER, Code.BAD_REQUEST)


def test_converse_can_not_search_for_chat_completions():
    error = refusal(by_chat, {}, upstream="bedrock_converse")
    assert (error.code, error.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "web_search_options")


def cited(url, title, kind="web_search_result_location"):
    return {"type": kind, "url": url, "title": title, "encrypted_index": "x", "cited_text": "…"}


CALL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "who won"}}
PAGES = [{"type": "web_search_result", "url": f"https://{name}.no", "title": name, "encrypted_content": "x"} for name in "ab"]
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": PAGES}
FIRST, SECOND, LAST = "It was ", "Nørway 🇳🇴", "."
CITED = [cited("https://a.no", "A"), cited("https://a.no", "A"), cited("https://b.no", None)]
OF_A_DOCUMENT = {"type": "char_location", "document_index": 0, "cited_text": "…", "start_char_index": 0, "end_char_index": 1}
TEXTS = [
    {"type": "text", "text": FIRST, "citations": None},
    {"type": "text", "text": SECOND, "citations": [OF_A_DOCUMENT, *CITED]},
    {"type": "text", "text": LAST},
]
USAGE = {"input_tokens": 9, "output_tokens": 4, "server_tool_use": {"web_search_requests": 1}}
ANSWER = {"id": "msg_1", "model": "claude-opus-5-5", "content": [CALL, FOUND, *TEXTS], "stop_reason": "end_turn", "usage": USAGE}
PLACES = [("https://a.no", "A"), ("https://b.no", "https://b.no")]


def whole(caller, answer=None):
    return render_caller_response(msgspec.json.encode(answer or ANSWER), caller, "anthropic_messages", DEFAULTS)


def streamed(caller, content=ANSWER["content"]):
    """The data of the events that a stream with this content becomes, all of them JSON."""
    translation = StreamTranslation(caller, "anthropic_messages", DEFAULTS)
    told = [{"type": "message_start", "message": {**ANSWER, "content": []}}]
    for index, block in enumerate(content):
        told.append({"type": "content_block_start", "index": index, "content_block": begun(block)})
        told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas(block)]
        told.append({"type": "content_block_stop", "index": index})
    told += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE}, {"type": "message_stop"}]
    text = b"".join(translation.feed(event["type"], msgspec.json.encode(event)) for event in told).decode()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def begun(block):
    return {**block, **({"input": {}} if block["type"] == "server_tool_use" else {"text": ""} if block["type"] == "text" else {})}


def deltas(block):
    if block["type"] == "server_tool_use":
        text = json.dumps(block["input"])
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:5], text[5:]))
    if block["type"] == "text":
        yield from ({"type": "citations_delta", "citation": citation} for citation in block.get("citations") or ())
        yield from ({"type": "text_delta", "text": piece} for piece in (block["text"][:2], block["text"][2:]))


def places(annotations, text):
    return [(each["url"], each["title"], text[each["start_index"] : each["end_index"]]) for each in annotations]


def test_a_chat_completion_tells_what_it_rests_on():
    message = whole("openai_chat")["choices"][0]["message"]
    assert message["content"] == FIRST + SECOND + LAST
    told = [each["url_citation"] for each in message["annotations"]]
    assert places(told, message["content"]) == [(*place, SECOND) for place in PLACES]
    assert {each["type"] for each in message["annotations"]} == {"url_citation"}


def test_a_chat_completion_that_rests_on_nothing_has_no_annotations():
    assert "annotations" not in whole("openai_chat", {**ANSWER, "content": [TEXTS[0]]})["choices"][0]["message"]


def test_chunks_tell_the_same():
    found = [chunk["choices"][0]["delta"] for chunk in streamed("openai_chat") if chunk["choices"]]
    text = "".join(delta.get("content") or "" for delta in found)
    [annotations] = [delta["annotations"] for delta in found if "annotations" in delta]
    assert annotations == whole("openai_chat")["choices"][0]["message"]["annotations"]
    assert text == FIRST + SECOND + LAST


SEARCHED = {
    "id": "ws_kh_1_0",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "who won", "sources": [{"type": "url", "url": f"https://{name}.no"} for name in "ab"]},
}


def test_a_response_tells_of_the_search_and_what_each_text_rests_on():
    search, said = whole("openai_responses")["output"]
    assert search == SEARCHED
    [part] = said["content"]
    assert part["text"] == FIRST + SECOND + LAST
    assert places(part["annotations"], part["text"]) == [(*place, SECOND) for place in PLACES]


def test_openai_is_not_shown_what_claude_found():
    given = whole("openai_responses")["output"]
    body = {"model": "m", "input": [{"role": "user", "content": "Who won?"}, *given, {**SEARCHED, "id": "ws_1"}]}
    assert may_hold_others(msgspec.json.encode(body))
    losses = Losses()
    kept = with_own_thoughts(body, losses)
    assert [item.get("id") for item in kept["input"]] == [None, *(item["id"] for item in given[1:]), "ws_1"]
    assert losses.dropped == ("input[].web_search_call",)
    own = {**body, "input": [{**SEARCHED, "id": "ws_1"}]}
    assert not may_hold_others(msgspec.json.encode(own))


def test_a_stream_of_a_response_tells_the_same_event_by_event():
    told = streamed("openai_responses")
    assert told[-1]["response"]["output"] == whole("openai_responses")["output"]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    of_search = [event for event in told if event.get("item_id", event.get("item", {}).get("id")) == SEARCHED["id"]]
    assert [event["type"] for event in of_search] == [
        "response.output_item.added",
        *(f"response.web_search_call.{state}" for state in ("in_progress", "searching", "completed")),
        "response.output_item.done",
    ]
    assert (of_search[0]["item"]["status"], of_search[-1]["item"]) == ("in_progress", SEARCHED)
    assert {event["output_index"] for event in of_search} == {0}
    added = [event for event in told if event["type"] == "response.output_text.annotation.added"]
    assert [(event["output_index"], event["annotation_index"]) for event in added] == [(1, 0), (1, 1)]
    assert [event["annotation"] for event in added] == told[-1]["response"]["output"][1]["content"][0]["annotations"]


@pytest.mark.parametrize("caller", ["openai_chat", "openai_responses"])
@pytest.mark.parametrize("citation", [OF_A_DOCUMENT, {**OF_A_DOCUMENT, "url": "https://a.no"}, {"type": "web_search_result_location"}])
def test_what_is_found_in_documents_has_no_place_in_openais_formats(caller, citation):
    text = {"type": "text", "text": "a", "citations": [citation]}
    assert "url_citation" not in json.dumps([whole(caller, {**ANSWER, "content": [text]}), *streamed(caller, [text])])


def test_a_search_that_failed_is_told_as_one():
    failed = {**FOUND, "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}}
    told = whole("openai_responses", {**ANSWER, "content": [CALL, failed, *TEXTS]})["output"][0]
    assert (told["status"], told["action"]["sources"]) == ("failed", [])


@pytest.mark.parametrize("content", [[FOUND], [{**CALL, "input": {}}, FOUND], [{**CALL, "id": "srvtoolu_2"}, FOUND]])
def test_a_search_of_which_nobody_knows_what_for_is_told_without(content):
    assert whole("openai_responses", {**ANSWER, "content": content})["output"][0]["action"]["query"] == ""
    assert streamed("openai_responses", content)[-1]["response"]["output"][0]["action"]["query"] == ""


def test_other_tools_that_claude_runs_are_passed_over():
    ran = [
        {"type": "server_tool_use", "id": "srvtoolu_2", "name": "bash_code_execution", "input": {"command": "ls"}},
        {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_2", "content": {}},
    ]
    content = [*ran, *ANSWER["content"]]
    assert whole("openai_responses", {**ANSWER, "content": content})["output"] == whole("openai_responses")["output"]
    assert streamed("openai_responses", content) == streamed("openai_responses")


@pytest.mark.parametrize("query", ["", "[1]", "{"])
def test_a_search_whose_words_break_off_does_not_end_the_answer_in_silence(query):
    translation = StreamTranslation("openai_chat", "anthropic_messages", DEFAULTS)
    told = [
        {"type": "message_start", "message": {**ANSWER, "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": begun(CALL)},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": query}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": FOUND},
        {"type": "content_block_stop", "index": 1},
    ]
    text = b"".join(translation.feed(event["type"], msgspec.json.encode(event)) for event in told)
    assert translation.has_ended == (query != "")
    assert (b'"error"' in text) == (query != "")
