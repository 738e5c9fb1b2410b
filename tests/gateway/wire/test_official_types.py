"""What the official packages can say in a request, member by member at whatever depth: it changes what is sent, or is named, or refused."""

from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from keyhouse.domain.errors import Error
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request
from tests.gateway.wire.official_types import members_of, pairs

MODELS = {
    "anthropic_messages": "claude-sonnet-4-5",
    "bedrock_converse": "anthropic.claude-opus-4-5-20251101-v1:0",
    "openai_chat": "gpt-5.2",
    "openai_responses": "gpt-5.4",
}
ASKED = {"role": "user", "content": "Hi"}


def chat(name, value):
    body = {"model": "m", "messages": [ASKED], "tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}]}
    return body | {name: [ASKED, *value, ASKED] if name == "messages" else value}


def responses(name, value):
    body = {"model": "m", "input": [ASKED], "tools": [{"type": "function", "name": "x", "parameters": {"type": "object"}}]}
    return body | {name: [ASKED, *value, ASKED] if name == "input" and isinstance(value, list) else value}


def messages(name, value):
    body = {"model": "m", "max_tokens": 4000, "messages": [ASKED], "tools": [{"name": "x", "input_schema": {"type": "object"}}]}
    return body | {name: [ASKED, *value, ASKED] if name == "messages" else value}


CALLERS = {
    "openai_chat": (CompletionCreateParamsBase, chat, ("anthropic_messages", "bedrock_converse")),
    "openai_responses": (ResponseCreateParamsBase, responses, ("openai_chat", "anthropic_messages", "bedrock_converse")),
    "anthropic_messages": (MessageCreateParamsBase, messages, ("openai_chat", "openai_responses", "bedrock_converse")),
}
OF_NO_MODEL = """
    BetaTextBlockParam.citations BetaToolResultBlockParam.toolset_name BetaToolUseBlockParam.caller BetaToolUseBlockParam.toolset_name
    EasyInputMessageParam.phase Message.status ResponseConfigurationUpdateItemParamParam.id ResponseCustomToolCallOutputParam.caller
    ResponseCustomToolCallOutputParam.id ResponseCustomToolCallParam.async ResponseCustomToolCallParam.caller
    ResponseCustomToolCallParam.id ResponseFunctionToolCallParam.async ResponseFunctionToolCallParam.caller
    ResponseFunctionToolCallParam.id ResponseFunctionToolCallParam.status ResponseOutputMessageParam.phase
    ResponseOutputTextParam.logprobs ResponseReasoningItemParam.content ResponseReasoningItemParam.encrypted_content
    ResponseReasoningItemParam.status
"""
"""How an earlier answer came about: what was said in it stays. Thoughts of other models mean nothing to the next one."""
OF_THE_ANSWER = """
    BetaThinkingBlockBindingParam.prefix_mismatch_behavior BetaThinkingConfigAdaptiveParam.block_binding
    BetaThinkingConfigAdaptiveParam.display BetaThinkingConfigEnabledParam.block_binding BetaThinkingConfigEnabledParam.display
    ChatCompletionStreamOptionsParam.include_obfuscation ChatCompletionStreamOptionsParam.include_usage Reasoning.generate_summary
    Reasoning.summary StreamOptions.include_obfuscation
"""
"""What the gateway sees to, or only Claude's models have; how thoughts are told is no wish for any."""
AS_IT_IS = """
    BetaImageBlockParam.transformations BetaRequestDocumentBlockParam.citations BetaSearchResultBlockParam.citations
    BetaSystemMessageParam.clear_at BetaSystemMessageParam.output_config BetaToolParam.type BetaWebSearchTool20250305Param.user_location
    BetaWebSearchTool20260209Param.user_location BetaWebSearchTool20260318Param.user_location EasyInputMessageParam.type
    FunctionDefinition.parameters InputSchemaTyped.properties Message.type ResponseConfigurationUpdateItemParamParam.reasoning
    ResponseConfigurationUpdateItemParamParam.text ResponseFormatTextJSONSchemaConfigParam.strict ResponseTextConfigParam.format
    ToolFunction.parameters UserLocation.type WebSearchOptions.user_location WebSearchPreviewToolParam.user_location
    WebSearchToolParam.external_web_access WebSearchToolParam.filters WebSearchToolParam.user_location
"""
"""The smallest value, which is tried here, says no more than leaving it out."""
SAYS_NOTHING = {*OF_NO_MODEL.split(), *OF_THE_ANSWER.split(), *AS_IT_IS.split()}


def sent(body, caller, upstream):
    try:
        result = render_upstream_request(body, caller, upstream, UpstreamModel(MODELS[upstream]))
    except Error:
        return None
    return result.body, result.dropped


def left_out_unsaid(caller):
    kind, request, upstreams = CALLERS[caller]
    for name, hint in members_of(kind).items():
        for pair in pairs(hint, name):
            for upstream in upstreams:
                without = sent(request(name, pair.without), caller, upstream)
                # What lies inside something that is left out as a whole and named needs no name of its own.
                is_readable = without is not None and not without[1]
                if is_readable and sent(request(name, pair.value), caller, upstream) == without:
                    yield pair.member


def test_nothing_is_left_out_unsaid():
    assert {member for caller in CALLERS for member in left_out_unsaid(caller)} == SAYS_NOTHING
