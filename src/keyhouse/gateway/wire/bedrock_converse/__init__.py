"""Converse and ConverseStream: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, 23 November 2026."""

from keyhouse.gateway.wire.bedrock_converse.errors import parse_error
from keyhouse.gateway.wire.bedrock_converse.request_rendering import render_request
from keyhouse.gateway.wire.bedrock_converse.response import parse_response
from keyhouse.gateway.wire.bedrock_converse.stream_parsing import StreamParser

__all__ = ["StreamParser", "parse_error", "parse_response", "render_request"]
