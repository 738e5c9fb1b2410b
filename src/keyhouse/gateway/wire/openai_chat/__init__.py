"""Chat Completions: https://developers.openai.com/api/reference/resources/chat, looked up on 23 November 2026."""

from keyhouse.gateway.wire.openai_chat.errors import parse_error, render_error
from keyhouse.gateway.wire.openai_chat.request_parsing import parse_request
from keyhouse.gateway.wire.openai_chat.request_rendering import render_request
from keyhouse.gateway.wire.openai_chat.response import parse_response, render_response
from keyhouse.gateway.wire.openai_chat.stream_parsing import StreamParser
from keyhouse.gateway.wire.openai_chat.stream_rendering import StreamRenderer

__all__ = [
    "StreamParser",
    "StreamRenderer",
    "parse_error",
    "parse_request",
    "parse_response",
    "render_error",
    "render_request",
    "render_response",
]
