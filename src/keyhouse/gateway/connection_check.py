"""Asks a provider's cheapest authenticated endpoint, once, as its calls are made. Generates nothing, follows no redirect, and repeats
nothing that the provider said."""

import asyncio
from collections.abc import Sequence

import msgspec

from keyhouse.domain.calling import ConnectionCheck
from keyhouse.domain.target import Target
from keyhouse.domain.verdict import ConnectionResult, ListedModels, Verdict
from keyhouse.gateway.connection_verdict import judge_body, judge_status, listed_models
from keyhouse.gateway.outgoing import Outgoing
from keyhouse.gateway.prepared import asking_head
from keyhouse.gateway.request import UpstreamRequest
from keyhouse.gateway.signing_error import SigningError, SigningFailure
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

BUDGET_S = 10.0
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_FAILURES = {
    UpstreamFailure.TLS_ERROR: Verdict.TLS_ERROR,
    UpstreamFailure.BLOCKED: Verdict.BLOCKED,
    UpstreamFailure.BAD_RESPONSE: Verdict.WRONG_ENDPOINT,
}
_SIGNING_FAILURES = {
    SigningFailure.UNUSABLE: Verdict.KEY_REFUSED,
    SigningFailure.REFUSED: Verdict.KEY_REFUSED,
    SigningFailure.RATE_LIMITED: Verdict.RATE_LIMITED,
    SigningFailure.UNAVAILABLE: Verdict.UNREACHABLE,
    SigningFailure.WRONG_ENDPOINT: Verdict.WRONG_ENDPOINT,
}


class ConnectionChecker(msgspec.Struct, frozen=True):
    """Checks connections with the client and the signatures that calls use. `budget_s` is for everything together."""

    outgoing: Outgoing
    budget_s: float = BUDGET_S

    async def check(self, target: Target, check: ConnectionCheck, models: Sequence[str], *, has_credentials: bool) -> ConnectionResult:
        """What comes of asking `target`, whose URL is the check's. `models` are those that the provider should list.

        Raises Error `configuration` where a library for signing is missing.
        """
        asked = await self._ask(target, check, has_credentials=has_credentials)
        return asked if isinstance(asked, ConnectionResult) else judge_body(*asked, check, models, has_credentials=has_credentials)

    async def models(self, target: Target, check: ConnectionCheck, *, has_credentials: bool) -> ListedModels:
        """The models that the same request lists; the check must be one that lists models. Raises Error as `check` does."""
        asked = await self._ask(target, check, has_credentials=has_credentials)
        if isinstance(asked, ConnectionResult):
            return ListedModels(asked)
        result = judge_body(*asked, check, (), has_credentials=has_credentials)
        return ListedModels(result, *listed_models(asked[1], check)) if result.verdict is Verdict.VERIFIED else ListedModels(result)

    async def _ask(self, target: Target, check: ConnectionCheck, *, has_credentials: bool) -> ConnectionResult | tuple[int, bytes]:
        """Status and body of a success, which is still to be judged; or the verdict that there is without one."""
        status: int | None = None
        try:
            async with asyncio.timeout(self.budget_s):
                response = await self.outgoing.upstream.open(await self._request(target))
                status = response.status
                try:
                    judged = judge_status(status, check, has_credentials=has_credentials)
                    body = b"" if judged is not None else await response.body.at_most(_MAX_ANSWER_BYTES + 1)
                finally:
                    response.close()
        except UnicodeError:
            return ConnectionResult(Verdict.UNREACHABLE, "What is stored holds characters that no request can carry.")
        except ValueError as wrong:
            return ConnectionResult(Verdict.UNREACHABLE, f"What is stored cannot be sent: {wrong}.")
        except TimeoutError:
            return ConnectionResult(Verdict.UNREACHABLE, f"No whole answer came within {self.budget_s:g} seconds.", status)
        except UpstreamError as error:
            return ConnectionResult(_FAILURES.get(error.kind, Verdict.UNREACHABLE), error.message, status)
        except SigningError as error:
            return ConnectionResult(_SIGNING_FAILURES[error.kind], error.message, error.status)
        # What is too large is no provider's answer.
        return judged or (status, body if len(body) <= _MAX_ANSWER_BYTES else b"")

    async def _request(self, target: Target) -> UpstreamRequest:
        head, signing = asking_head(target)
        request = UpstreamRequest(head, timeouts=Timeouts(self.budget_s, self.budget_s, self.budget_s, self.budget_s))
        if signing is not None:
            request.headers = await self.outgoing.signatures.sign(signing, target.values, request)
        return request
