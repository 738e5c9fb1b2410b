"""What answers may hold by the types of the official packages: each kind is read, or is one that no caller's request leads to."""

import typing

import pytest
from anthropic.types.beta import BetaContentBlock, BetaRawContentBlockDelta, BetaRawMessageStreamEvent, BetaStopReason
from openai.types.chat.chat_completion import Choice
from openai.types.responses import ResponseOutputItem, ResponseStreamEvent
from openai.types.responses.response import IncompleteDetails

from keyhouse.gateway.wire.anthropic_messages.response import STOP_REASONS

OF_ANTHROPICS_TOOLS = """
    advisor_tool_result bash_code_execution_tool_result code_execution_tool_result compaction container_upload fallback mcp_tool_listing
    mcp_tool_result mcp_tool_use text_editor_code_execution_tool_result tool_search_tool_result web_fetch_tool_result
"""
OF_OPENAIS_TOOLS = """
    additional_tools apply_patch_call apply_patch_call_output code_interpreter_call compaction computer_call computer_call_output
    custom_tool_call custom_tool_call_output file_search_call function_call_output image_generation_call local_shell_call
    local_shell_call_output mcp_approval_request mcp_approval_response mcp_call mcp_list_tools program program_output shell_call
    shell_call_output tool_search_call tool_search_output
"""
AS_OPENAI_TELLS_THEM_TWICE = """
    response.content_part.added response.content_part.done response.function_call_arguments.done response.output_text.annotation.added
    response.output_text.done response.queued response.reasoning_summary_part.done response.reasoning_summary_text.done
    response.reasoning_text.done response.refusal.done
"""
ANTHROPICS_EVENTS = """
    content_block_delta content_block_start content_block_stop message_delta message_start message_stop
"""
OPENAIS_EVENTS = """
    error response.completed response.created response.failed response.function_call_arguments.delta response.in_progress
    response.incomplete response.output_item.added response.output_item.done response.output_text.delta
    response.reasoning_summary_part.added response.reasoning_summary_text.delta response.reasoning_text.delta response.refusal.delta
    response.web_search_call.completed response.web_search_call.in_progress response.web_search_call.searching
"""


def kinds(union):
    """The values of `type` of everything that a union holds."""
    for choice in typing.get_args(union):
        fields = getattr(choice, "model_fields", None)
        if fields is None:
            yield from kinds(choice)
        elif "type" in fields:
            yield from typing.get_args(fields["type"].annotation)


@pytest.mark.parametrize(
    ("stated", "read", "others"),
    [
        (typing.get_args(BetaStopReason), STOP_REASONS, "pause_turn compaction"),
        (kinds(BetaContentBlock), "text thinking redacted_thinking tool_use server_tool_use web_search_tool_result", OF_ANTHROPICS_TOOLS),
        (kinds(BetaRawContentBlockDelta), "text_delta thinking_delta signature_delta input_json_delta citations_delta", "compaction_delta"),
        (kinds(BetaRawMessageStreamEvent), ANTHROPICS_EVENTS, ""),
        (typing.get_args(Choice.model_fields["finish_reason"].annotation), "stop length tool_calls content_filter function_call", ""),
        (kinds(ResponseOutputItem), "message reasoning function_call web_search_call", OF_OPENAIS_TOOLS),
    ],
)
def test_every_kind_is_read_or_asked_for_by_nobody(stated, read, others):
    read, others = ({*each.split()} if isinstance(each, str) else {*each} for each in (read, others))
    assert {*stated} - read == others


def test_every_event_of_responses_is_read_or_of_a_tool_that_nobody_asks_for():
    of_tools = {f"response.{item}" for item in OF_OPENAIS_TOOLS.split()}
    unread = {*kinds(ResponseStreamEvent)} - {*OPENAIS_EVENTS.split()} - {*AS_OPENAI_TELLS_THEM_TWICE.split()}
    assert {event for event in unread if not event.startswith(tuple(of_tools))} == {
        "response.audio.delta",
        "response.audio.done",
        "response.audio.transcript.delta",
        "response.audio.transcript.done",
    }


def test_responses_say_why_they_are_cut_in_a_few_words():
    reason = IncompleteDetails.model_fields["reason"].annotation
    [words] = [typing.get_args(choice) for choice in typing.get_args(reason) if choice is not type(None)]
    assert {*words} == {"max_output_tokens", "content_filter", "max_messages", "steered"}
