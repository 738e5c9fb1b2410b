"""The relay: render, sign, open, parse, in that order. An upstream's status is awaited before ours; bytes pass as they come."""

import asyncio
from time import perf_counter

from keyhouse.gateway.call import Answer, Call
from keyhouse.gateway.error_answers import error_answer
from keyhouse.gateway.events import WholeEvents
from keyhouse.gateway.failures import failure_of, signing_failure_of, stream_failure
from keyhouse.gateway.headers import RawHeaders, header_text, to_caller, to_upstream, value_of
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.prepared import Prepared, PreparedTargets
from keyhouse.gateway.rendering import Rendered, rendered
from keyhouse.gateway.request import Headers, UpstreamRequest, host_header
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.retry import Retries
from keyhouse.gateway.signing import Signatures
from keyhouse.gateway.unsigned_request import SigningError, UnsignedRequest
from keyhouse.gateway.upstream import Upstream
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.usage_reader import UsageReader


class Relay:
    """Calls targets. One serves a whole process."""

    def __init__(self, upstream: Upstream, signatures: Signatures) -> None:
        self._upstream = upstream
        self._signatures = signatures
        self._prepared = PreparedTargets()

    async def answer(self, call: Call, observation: Observation) -> Answer:
        """The upstream's answer, its head complete. Cancelling closes the upstream at once.

        Raises Error: what rendering and signing raise, and a code for each way in which a call can fail before its answer.
        """
        prepared = self._prepared.get(call.target, call.endpoint)
        outgoing = rendered(call, prepared)
        response = await self._opened(call, prepared, outgoing, observation)
        headers = [*prepared.answer_headers, *_notes(outgoing)]
        if 200 <= response.status < 300:
            return await _relayed(call, response, outgoing, headers)
        return await error_answer(call, response, outgoing, headers)

    async def _opened(self, call: Call, prepared: Prepared, outgoing: Rendered, observation: Observation) -> UpstreamResponse:
        head = prepared.stream_head if outgoing.streams else prepared.head
        headers = to_upstream(call.headers, prepared.replaced) if outgoing.headers is None else outgoing.headers
        request = UpstreamRequest(head, outgoing.body, headers)
        retries = Retries(call.retries)
        try:
            if prepared.signing is not None:
                request.headers = [*headers, *await self._signed(call, prepared, request)]
            return await self._tried(request, retries, observation)
        except UpstreamError as error:
            raise failure_of(error) from error
        finally:
            observation.retries = retries.count

    async def _tried(self, request: UpstreamRequest, retries: Retries, observation: Observation) -> UpstreamResponse:
        while True:
            began = perf_counter()
            try:
                response = await self._upstream.open(request)
            except UpstreamError as error:
                wait = retries.wait_after_error(error)
                if wait is None:
                    raise
            else:
                wait = retries.wait_after_answer(response.status, response.headers)
                if wait is None:
                    return response
                response.close()
            finally:
                observation.upstream_s += perf_counter() - began
            await asyncio.sleep(wait)

    async def _signed(self, call: Call, prepared: Prepared, request: UpstreamRequest) -> Headers:
        body = request.body if isinstance(request.body, bytes) else b""
        head = request.head
        unsigned = UnsignedRequest(head.method, host_header(head.origin), head.target, request.headers, body)
        assert prepared.signing is not None  # noqa: S101 - for the type checker
        try:
            return await self._signatures.sign(prepared.signing, call.target.values or {}, unsigned)
        except SigningError as error:
            raise signing_failure_of(error) from error


async def _relayed(call: Call, response: UpstreamResponse, outgoing: Rendered, headers: RawHeaders) -> Answer:
    """A good answer in the upstream's own format."""
    passed = to_caller(response.headers)
    usage = UsageReader()
    body = response.body
    if (value_of(passed, b"content-type") or b"").startswith(b"text/event-stream") and value_of(passed, b"content-encoding") is None:
        events = WholeEvents(body, lambda error: stream_failure(call.endpoint, error), usage)
        return Answer(response.status, [*passed, *headers], events, usage.usage, response.close)
    if body.ended:
        whole = body.take()
        usage.feed(whole)
        return Answer(response.status, [*passed, *headers], whole, usage.usage)
    return Answer(response.status, [*passed, *headers], body, usage.usage, response.close)


def _notes(outgoing: Rendered) -> RawHeaders:
    """What the answer says of what was done to the request."""
    notes: RawHeaders = []
    if outgoing.dropped:
        notes.append((b"x-keyhouse-params-dropped", header_text(", ".join(outgoing.dropped))))
    if outgoing.enforced:
        notes.append((b"x-keyhouse-enforced", header_text(", ".join(outgoing.enforced))))
    return notes
