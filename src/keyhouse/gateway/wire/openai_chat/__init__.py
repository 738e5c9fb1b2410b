"""Chat Completions: https://developers.openai.com/api/reference/resources/chat, looked up on 23 November 2026."""
