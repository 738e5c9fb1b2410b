"""The Messages API: https://platform.claude.com/docs/en/api/messages, looked up on 23 November 2026."""

from keyhouse.gateway.wire.anthropic_messages.errors import parse_error, render_error
from keyhouse.gateway.wire.anthropic_messages.request_parsing import parse_request
from keyhouse.gateway.wire.anthropic_messages.request_rendering import render_request, render_vertex_request
from keyhouse.gateway.wire.anthropic_messages.response import parse_response, render_response
from keyhouse.gateway.wire.anthropic_messages.stream_parsing import StreamParser
from keyhouse.gateway.wire.anthropic_messages.stream_rendering import StreamRenderer

__all__ = [
    "StreamParser",
    "StreamRenderer",
    "parse_error",
    "parse_request",
    "parse_response",
    "render_error",
    "render_request",
    "render_response",
    "render_vertex_request",
]
