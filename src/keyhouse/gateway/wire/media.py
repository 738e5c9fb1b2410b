"""Data URLs and media types. Fetches and decodes nothing."""

import re

from keyhouse.gateway.wire.conversation import Base64Source
from keyhouse.gateway.wire.fields import unsupported

IMAGE_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
"""The images that the Messages API and Converse take: https://platform.claude.com/docs/en/build-with-claude/vision and
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html, 23 November 2026."""

_OTHER_NAMES = {"image/jpg": "image/jpeg"}
"""What callers write, and what it is called."""

DOCUMENT_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
"""https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html, 23 November 2026."""

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)


def parse_data_url(url: str, path: str) -> Base64Source:
    """The media type and the base64 of a data URL. Raises Error (`unsupported_parameter`) for a data URL that is not base64."""
    head = _DATA_URL.match(url)
    if head is None or not head[2].lower().endswith(";base64"):
        raise unsupported(path, "A data URL must be of the form data:<media type>;base64,<data>.")
    return base64_source(head[1], url[head.end() :])


def data_url(source: Base64Source) -> str:
    """The URL that holds the data itself."""
    return f"data:{source.media_type};base64,{source.data}"


def base64_source(media_type: str, data: str) -> Base64Source:
    """Data of a media type, however it is spelt."""
    name = media_type.lower()
    return Base64Source(media_type=_OTHER_NAMES.get(name, name), data=data)


def is_data_url(url: str) -> bool:
    """Whether the URL holds its data itself."""
    return url[:5].lower() == "data:"


def is_web_url(url: str) -> bool:
    """Whether the URL names something to fetch over HTTP."""
    return url[:8].lower().startswith(("http://", "https://"))
