"""Responses: https://developers.openai.com/api/reference/resources/responses (through the types of the openai package, 3.54.0), looked up
on 29 November 2026. OpenAI's newer models call tools there alone, or think there alone while they do."""

from keyhouse.gateway.wire.openai_chat.errors import parse_error, render_error
from keyhouse.gateway.wire.openai_responses.bare_rendering import TAKEN_NAMES
from keyhouse.gateway.wire.openai_responses.request_parsing import parse_request
from keyhouse.gateway.wire.openai_responses.request_rendering import render_request
from keyhouse.gateway.wire.openai_responses.response import parse_response
from keyhouse.gateway.wire.openai_responses.response_rendering import ECHOED, render_response
from keyhouse.gateway.wire.openai_responses.stream_parsing import StreamParser
from keyhouse.gateway.wire.openai_responses.stream_rendering import StreamRenderer

__all__ = [
    "ECHOED",
    "TAKEN_NAMES",
    "StreamParser",
    "StreamRenderer",
    "parse_error",
    "parse_request",
    "parse_response",
    "render_error",
    "render_request",
    "render_response",
]
