"""The Messages API: https://platform.claude.com/docs/en/api/messages, looked up on 23 November 2026."""

API_VERSION = "2023-06-01"
"""The `anthropic-version` that rendered requests are written for; 2026-10-21 takes no temperature, top_p and top_k from any model:
https://platform.claude.com/docs/en/api/versioning, 23 November 2026."""

VERTEX_API_VERSION = "vertex-2023-10-16"
"""What stands in the body instead of the header on Vertex AI: https://platform.claude.com/docs/en/api/claude-on-vertex-ai, 23
November 2026."""
