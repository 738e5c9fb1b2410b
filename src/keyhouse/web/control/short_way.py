"""The short way of requests like those that their connection brought before: no task, as long as only the disk has to be waited for.

A request that cannot go this way, or not to its end, goes the long one from its beginning: nothing of it was done. Both answer the same.
"""

import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

from keyhouse.domain.tenancy import Actor, Caller, Permission
from keyhouse.services.model_providers import Shown
from keyhouse.storage.database import KeysChanged, WritingKeyRetired
from keyhouse.web.control.access import Access, Gate, seen_in
from keyhouse.web.control.routing import Again, Call, Router, failure_of, head_of
from keyhouse.web.http_exchange import HttpExchange
from keyhouse.web.http_head import CallerHead
from keyhouse.web.log import RequestLines

_TO_BE_ASKED_AGAIN = (KeysChanged, WritingKeyRetired)
"""What undoes a write that is to be made once more."""
_LINES = (
    b"content-type: application/json\r\nx-content-type-options: nosniff\r\ncache-control: private, no-cache\r\n"
    b"vary: authorization, x-auth-token, x-project-id\r\ncontent-length: %d\r\netag: %b\r\nx-keyhouse-request-id: %b\r\n"
)
"""What `head_of` says of an answer with a tag."""
_NOBODY = Caller(Actor("", ""), "")
_log = logging.getLogger("keyhouse.http")


class PriorRequests:
    """What requests with the same head have in common. `again` is None where they have to go the long way."""

    __slots__ = ("again", "permission", "route", "seen")

    def __init__(self, again: Again | None = None, permission: Permission | None = None, route: str = "", seen: bytes = b"") -> None:
        self.again = again
        self.permission = permission
        self.route = route
        self.seen = seen

    def __repr__(self) -> str:
        return f"PriorRequests({self.route!r})"


class ShortWay:
    """Begins to answer requests under /api/. `go_on` answers those that have to go the long way after all."""

    def __init__(self, router: Router, gate: Gate, lines: RequestLines, go_on: Callable[[HttpExchange], Awaitable[None]]) -> None:
        self.lines = lines
        self.go_on = go_on
        self._router = router
        self._gate = gate

    def begin(self, exchange: HttpExchange) -> bool:
        """Begin to answer a request, where everything that this takes is known; tells whether it has been."""
        started = exchange.head_at or perf_counter()
        prior = exchange.head.prior_api
        if prior is None:
            prior = exchange.head.prior_api = self._prior(exchange.head)
        again = prior.again
        if again is None:
            return False
        body = exchange.whole_body()
        try:
            caller = None if body is None else self._gate.admit_again(prior.seen, prior.permission)
            exchange.head.is_admitted = caller is not None
            if body is None or caller is None:
                return False
            return again(caller, body, _Request(self, exchange, prior.route, started).told)
        except Exception:  # noqa: BLE001 - nothing was done yet: the long way says what it is
            return False

    def _prior(self, head: CallerHead) -> PriorRequests:
        found = self._router.find(head.method, head.raw_path.decode("latin-1"))
        if found is None or found[0].access is not Access.PROJECT or found[0].authorize is not None:
            return PriorRequests()
        route, path = found
        again = route.again(Call(_NOBODY, path, {}, head.headers, None))
        return PriorRequests(again, route.permission, route.path, seen_in(head.read()))


class _Request:
    """One request on the short way, until it is answered."""

    __slots__ = ("_exchange", "_route", "_started", "_way")

    def __init__(self, way: ShortWay, exchange: HttpExchange, route: str, started: float) -> None:
        self._way = way
        self._exchange = exchange
        self._route = route
        self._started = started

    def told(self, shown: Shown | None, failure: BaseException | None) -> None:
        """What is shown is there to be read, or nothing was done."""
        exchange = self._exchange
        if isinstance(failure, _TO_BE_ASKED_AGAIN):
            exchange.go_on(self._way.go_on)
            return
        try:
            self._answer(exchange, shown, failure)
        except Exception as error:  # noqa: BLE001 - the edge: logged with its cause, told to nobody
            _log.error("A request was not answered.", exc_info=error)
        finally:
            exchange.finish()

    def _answer(self, exchange: HttpExchange, shown: Shown | None, failure: BaseException | None) -> None:
        lines, status = self._way.lines, 200
        request_id = lines.next_id()
        if shown is None or failure is not None:
            answer = failure_of(failure or TypeError("Nothing is shown."), exchange.method, self._route, request_id)
            status = answer.status
            exchange.send_whole(status, head_of(answer, request_id), answer.body)
        elif not exchange.has_left:
            exchange.send_lines(_LINES % (len(shown.body), shown.tag.encode(), request_id.encode()), shown.body)
        lines.note(exchange.method, self._route, status, self._started, request_id)
