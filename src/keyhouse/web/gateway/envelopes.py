"""A house's error in the words of the API that the caller speaks, and the headers that go with it."""

import re

from keyhouse.domain.errors import Error
from keyhouse.gateway.failures import error_body
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.wire.answer import ApiError
from keyhouse.gateway.wire.parameters import CallerFormat
from keyhouse.web.errors import STATUS

JSON = (b"content-type", b"application/json")
"""The header of our own answers."""

_NO_RETRY = (b"x-should-retry", b"false")
_REQUEST_ID = {"openai_chat": b"x-request-id", "anthropic_messages": b"request-id"}
_REQUEST_IDS = frozenset(_REQUEST_ID.values())
_ID_LINE = {spoken: b"\n%b: " % name for spoken, name in _REQUEST_ID.items()}
"""As it is found behind another line."""
_ANY_ID_LINE = re.compile(rb"^((?:x-)?request-id): ([^\r]*)", re.MULTILINE)
_OURS = b"x-keyhouse-request-id"


def refusal(error: Error, spoken: CallerFormat, request_id: str) -> tuple[int, RawHeaders, bytes]:
    """Status, headers and body of an error."""
    given = error.details.get("status")
    status = given if isinstance(given, int) else STATUS[error.code]
    param, error_code = error.details.get("param"), error.details.get("error_code")
    stated = ApiError(
        status,
        f"{error.message}. {error.details['hint']}" if "hint" in error.details else error.message,
        code=error.code.value,
        param=param if isinstance(param, str) else None,
        request_id=request_id if spoken == "anthropic_messages" else None,
        error_code=error_code if isinstance(error_code, str) else None,
    )
    body = error_body("messages" if spoken == "anthropic_messages" else None, stated)
    headers = [JSON]
    if "allow" in error.details:
        headers.append((b"allow", str(error.details["allow"]).encode("ascii")))
    if "retryAfter" in error.details:
        headers.append((b"retry-after", str(error.details["retryAfter"]).encode("ascii")))
    if error.details.get("retry") is False:
        headers.append(_NO_RETRY)
    return status, headers, body


def request_id_lines(lines: bytes, spoken: CallerFormat, request_id: bytes) -> bytes:
    """What `with_request_id` adds to an answer, as lines; `lines` are the answer's, each ended, none of them without a value."""
    ours = b"x-keyhouse-request-id: %b\r\n" % request_id
    if lines.find(_ID_LINE[spoken]) >= 0:
        return ours
    theirs = _ANY_ID_LINE.search(lines)
    if theirs is not None and theirs[1] == _REQUEST_ID[spoken]:
        return ours
    return b"%b: %b\r\n%b" % (_REQUEST_ID[spoken], request_id if theirs is None else theirs[2], ours)


def with_request_id(headers: RawHeaders, spoken: CallerFormat, request_id: bytes) -> RawHeaders:
    """The headers of an answer with our id, and with the caller's word for one: the upstream's first, or ours where it gave none."""
    wanted = _REQUEST_ID[spoken]
    theirs: bytes | None = None
    for name, value in headers:
        if name == wanted:
            if value:
                return [*headers, (_OURS, request_id)]
            # An empty one is none.
            headers = [pair for pair in headers if pair != (wanted, b"")]
        elif name in _REQUEST_IDS:
            theirs = theirs or value
    return [*headers, (wanted, theirs or request_id), (_OURS, request_id)]
