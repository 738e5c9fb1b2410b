"""A call as the edge hands it to the relay, and the answer as the relay hands it back. Values; nothing is decided here."""

from collections.abc import Callable
from dataclasses import dataclass, field

from keyhouse.domain.calling import EndpointName
from keyhouse.domain.target import Target
from keyhouse.gateway.answer_facts import NOTHING_READ, AnswerRead
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.passing import PassedBody
from keyhouse.gateway.wire.form import Form
from keyhouse.gateway.wire.splice import Head


@dataclass(slots=True, eq=False)
class Call:
    """What a caller asks of a target.

    `head` was read from `body`, `form` is the body where it is one. `headers` are those of the caller's that may go on, names in lower
    case. `retries` is how often it may be tried again, `request_id` what the answer is called where the upstream gives no id, `query` what
    of the caller's own goes on.
    """

    endpoint: EndpointName
    target: Target
    body: bytes = field(repr=False)
    head: Head = field(repr=False)
    headers: RawHeaders = field(repr=False)
    retries: int
    request_id: str
    form: Form | None = None
    query: bytes = b""


@dataclass(slots=True, eq=False)
class Answer:
    """An answer whose head is there. `body` is whole, or comes as it is read, once; then `close` must follow, however that ends.

    Reading raises UpstreamError where the answer breaks off and cannot say so in its own format. `read`, and `error_code` for a stream
    that ended in an error event, are asked at the end.
    """

    status: int
    headers: RawHeaders
    body: bytes | PassedBody = field(repr=False)
    read: AnswerRead = NOTHING_READ
    error_code: Callable[[], str] = lambda: ""
    close: Callable[[], None] = lambda: None
