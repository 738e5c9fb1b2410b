"""Errors of APIs that state them in `detail`: a text, or an object with `message` and `status`.

https://docs.voyageai.com/docs/error-codes, https://elevenlabs.io/docs/api-reference/errors (2026-11-23).
"""

from keyhouse.gateway.wire.answer import ApiError
from keyhouse.gateway.wire.decoding import decoded_object, no_message, stated_words


def parse_error(status: int, body: bytes) -> ApiError:
    """The error of an answer that is none, whatever its body holds."""
    detail = decoded_object(body).get("detail")
    message, code = (detail.get("message"), detail.get("status")) if isinstance(detail, dict) else (detail, None)
    return ApiError(
        status=status,
        message=stated_words(message) or no_message(status),
        code=code if isinstance(code, str) else None,
    )
