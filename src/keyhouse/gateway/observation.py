"""What is noted of a request as it ends: who, where to, how long, how many tokens. Never a word of what was asked or answered."""

from collections.abc import Callable
from time import perf_counter

import msgspec

from keyhouse.domain.address import Origin
from keyhouse.domain.tenancy import Caller
from keyhouse.gateway.answer_facts import NOTHING_READ, AnswerRead
from keyhouse.gateway.wire.answer import Usage


class Observation(msgspec.Struct, eq=False):
    """One request of the gateway, filled in on its way and handed to `observe` once, when the last byte is out or the caller has left.

    `route` is the template of the path, `endpoint` its name (`chat`), empty for an unknown path. `actor_id` names the caller's key: an API
    key's id, or the project's for its own. `provider` is a provider's id and `model` its own id of the model, both empty where none was
    chosen. `status` is what the caller got, 0 where it left before; `code` is the error's, empty where there was none, `caller_left` where
    the caller went first. Moments are of `perf_counter`; None: it did not happen. `upstream_s` is the time spent waiting for the
    upstream's answers: their heads, all tries and the pauses between them, and bodies that are read whole to be translated.
    `traceparent` is a caller's header, `origin` where the call went, `answer` what was read of its answer on the way; its `usage` is looked
    up there by whoever is told.
    """

    request_id: str
    method: str
    route: str
    endpoint: str = ""
    organization_id: str = ""
    actor_id: str = ""
    project_id: str = ""
    provider: str = ""
    model: str = ""
    streams: bool = False
    status: int = 0
    code: str = ""
    retries: int = 0
    started_at: float = 0.0
    answered_at: float | None = None
    ended_at: float = 0.0
    upstream_s: float = 0.0
    usage: Usage | None = None
    traceparent: bytes | None = None
    origin: Origin | None = None
    answer: AnswerRead = NOTHING_READ

    @property
    def duration_s(self) -> float:
        """From the request's head to the answer's last byte."""
        return self.ended_at - self.started_at

    @property
    def added_s(self) -> float | None:
        """Until the answer's head, less what the upstream made it wait: what the gateway itself cost."""
        return None if self.answered_at is None else self.answered_at - self.started_at - self.upstream_s

    def admitted(self, caller: Caller) -> None:
        """The caller is known."""
        self.organization_id, self.project_id, self.actor_id = caller.organization_id, caller.project_id or "", caller.actor.id

    def answered(self, status: int) -> None:
        """The caller's answer begins."""
        self.status = status
        self.answered_at = perf_counter()


Observe = Callable[[Observation], None]
"""Is told of a request that has ended."""
