"""The Messages API: https://platform.claude.com/docs/en/api/messages, looked up on 23 November 2026."""

from keyhouse.gateway.wire.anthropic_messages.errors import parse_error, render_error
from keyhouse.gateway.wire.anthropic_messages.request_parsing import parse_request
from keyhouse.gateway.wire.anthropic_messages.request_rendering import render_request, render_vertex_request
from keyhouse.gateway.wire.anthropic_messages.response import parse_response, render_response
from keyhouse.gateway.wire.anthropic_messages.stream_parsing import MessageEventParser
from keyhouse.gateway.wire.anthropic_messages.stream_rendering import MessageEventRenderer

API_VERSION = "2023-06-01"
"""The `anthropic-version` that rendered requests are written for; 2026-10-21 takes no temperature, top_p and top_k from any model:
https://platform.claude.com/docs/en/api/versioning, 23 November 2026."""

VERTEX_API_VERSION = "vertex-2023-10-16"
"""What stands in the body instead of the header on Vertex AI: https://platform.claude.com/docs/en/api/claude-on-vertex-ai, 23
November 2026."""

__all__ = [
    "API_VERSION",
    "VERTEX_API_VERSION",
    "MessageEventParser",
    "MessageEventRenderer",
    "parse_error",
    "parse_request",
    "parse_response",
    "render_error",
    "render_request",
    "render_response",
    "render_vertex_request",
]
