"""The relay: render, sign, open, parse, in that order. An upstream's status is awaited before ours; bytes pass as they come."""

import asyncio
from time import perf_counter

from keyhouse.gateway.call import Answer, Call
from keyhouse.gateway.error_answers import REPLACED_BY_TRANSLATION, error_answer, read_at_most, spelt_secrets
from keyhouse.gateway.events import WholeEvents
from keyhouse.gateway.failures import failure_of, signing_failure_of
from keyhouse.gateway.headers import RawHeaders, header_text, to_caller, to_upstream, value_of
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.prepared import Prepared, PreparedTargets
from keyhouse.gateway.rendered import Rendered
from keyhouse.gateway.rendering import rendered
from keyhouse.gateway.request import Headers, UpstreamRequest, host_header
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.retry import Retries
from keyhouse.gateway.signing import Signatures
from keyhouse.gateway.translated import EVENTS_TYPE, AnswerTranslation
from keyhouse.gateway.unsigned_request import SigningError, UnsignedRequest
from keyhouse.gateway.upstream import Upstream
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.usage_reader import CountedBody, UsageReader

MAX_TRANSLATED_BYTES = 64 * 1024 * 1024
"""A whole answer that is translated has to be held; what is larger is cut off, and then is no answer."""


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
        try:
            request, signed = await self._request(call, prepared, outgoing)
            response = await self._tried(request, Retries(call.retries), observation)
        except UpstreamError as error:
            raise failure_of(error) from error
        headers = [*prepared.answer_headers, *_notes(outgoing)]
        if 200 <= response.status < 300:
            return await _relayed(call, response, outgoing, headers)
        if response.status == 401 and prepared.signing is not None:
            self._signatures.refused(prepared.signing, call.target.values or {})
        return await error_answer(response, outgoing, spelt_secrets(call.target, signed), headers)

    async def _request(self, call: Call, prepared: Prepared, outgoing: Rendered) -> tuple[UpstreamRequest, Headers]:
        """The request, and those of its headers that were signed for it alone."""
        head = prepared.head_for(outgoing.streams, outgoing.query)
        headers = to_upstream(call.headers, prepared.replaced) if outgoing.headers is None else outgoing.headers
        request = UpstreamRequest(head, outgoing.body, headers)
        if prepared.signing is None:
            return request, ()
        signed = await self._signed(call, prepared, request)
        request.headers = [*headers, *signed]
        return request, signed

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
                observation.retries = retries.count
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
    """A good answer, as it is or translated."""
    passed = to_caller(response.headers)
    if outgoing.translation is not None and not outgoing.translation.keeps_answers:
        return await _translated(call, response, outgoing.translation, [*passed, *headers])
    usage = UsageReader()
    body = response.body
    if (value_of(passed, b"content-type") or b"").startswith(b"text/event-stream") and value_of(passed, b"content-encoding") is None:
        events = WholeEvents(body, call.endpoint, usage)
        return Answer(response.status, [*passed, *headers], events, usage.usage, lambda: events.error_code, response.close)
    if body.ended:
        whole = body.take()
        usage.feed(whole)
        return Answer(response.status, [*passed, *headers], whole, usage.usage)
    return Answer(response.status, [*passed, *headers], CountedBody(body, usage), usage.usage, close=response.close)


async def _translated(call: Call, response: UpstreamResponse, translation: AnswerTranslation, headers: RawHeaders) -> Answer:
    """A good answer in the caller's format."""
    headers = [pair for pair in headers if pair[0] not in REPLACED_BY_TRANSLATION]
    events = translation.stream(response.body) if call.head.stream else None
    if events is not None:
        headers.append((b"content-type", EVENTS_TYPE))
        return Answer(response.status, headers, events, events.usage, lambda: events.error_code, response.close)
    usage = UsageReader()
    try:
        body = await read_at_most(response.body, MAX_TRANSLATED_BYTES)
    except UpstreamError as error:
        raise failure_of(error) from error
    finally:
        response.close()
    usage.feed(body)
    content_type, rendered_body = translation.whole(body)
    headers += [(b"content-type", content_type), (b"content-length", b"%d" % len(rendered_body))]
    return Answer(response.status, headers, rendered_body, usage.usage)


def _notes(outgoing: Rendered) -> RawHeaders:
    """What the answer says of what was done to the request."""
    notes: RawHeaders = []
    if outgoing.dropped:
        notes.append((b"x-keyhouse-params-dropped", header_text(", ".join(outgoing.dropped))))
    if outgoing.enforced:
        notes.append((b"x-keyhouse-enforced", header_text(", ".join(outgoing.enforced))))
    return notes
