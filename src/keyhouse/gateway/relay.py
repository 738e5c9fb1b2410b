"""The relay: render, sign, open, parse, in that order. An upstream's status is awaited before ours; bytes pass as they come."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from time import perf_counter

from keyhouse.domain.calling import EndpointName
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.target import Target
from keyhouse.gateway.asker import Asker
from keyhouse.gateway.call import Answer, Call
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.error_answers import REPLACED_BY_TRANSLATION, error_answer, spelt_secrets
from keyhouse.gateway.events import WholeEvents
from keyhouse.gateway.failures import failure_of, signing_failure_of
from keyhouse.gateway.headers import RawHeaders, header_text, to_caller, value_of
from keyhouse.gateway.missing_paths import NO_SUCH_PATH, MissingPaths
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.prepared import PreparedTargets
from keyhouse.gateway.ready import Ready, ready_for
from keyhouse.gateway.rendered import Rendered, without_betas
from keyhouse.gateway.rendering import looks_into, rendered, takes_long
from keyhouse.gateway.request import Headers, UpstreamRequest
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.retry import RETRIED_STATUSES, Retries
from keyhouse.gateway.signing import Signatures
from keyhouse.gateway.signing_error import SigningError
from keyhouse.gateway.translated import EVENTS_TYPE, MAX_TRANSLATED_BYTES, AnswerTranslation, TranslatedEvents
from keyhouse.gateway.unpacking import MAX_UNPACKED_BYTES, UnpackedBody, checked_packing, unpacked
from keyhouse.gateway.upstream import Begun, Upstream
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.usage_reader import CountedBody, UsageReader, WholeRead
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.splice import Head, forbids_drops, with_model

LARGE_BYTES = 128 * 1024
"""What is larger is decoded and translated in a thread: it takes up to a tenth of a second for each MB, and others are served meanwhile."""


class Relay:
    """Calls targets. One serves a whole process."""

    def __init__(self, upstream: Upstream, signatures: Signatures) -> None:
        self._upstream = upstream
        self._signatures = signatures
        self._prepared = PreparedTargets()
        self._missing = MissingPaths()

    def ready(self, target: Target, endpoint: EndpointName, headers: RawHeaders, query: bytes) -> Ready | None:
        """See `ready_for`. Raises Error as `PreparedTargets.get` does."""
        return ready_for(self._prepared.get(target, endpoint), target, endpoint, headers, query)

    def begin(self, ready: Ready, target: Target, body: bytes, head: Head, asker: Asker) -> Connection | None:
        """Send a call at once, where nothing has to be waited for or looked into; else None. See `Upstream.begin`."""
        prepared = self._prepared.get(target, ready.endpoint)
        if ready.may_look and looks_into(body, target, prepared):
            return None
        request_head = prepared.head_for(streams=False, query=ready.query) if ready.query else prepared.head
        outgoing = with_model(body, head, target.upstream_model)
        wire = b"%b%bcontent-length: %d\r\n\r\n%b" % (request_head.wire, ready.lines, len(outgoing), outgoing)
        return self._upstream.begin(request_head, wire, asker)

    def answer(self, call: Call, observation: Observation, begun: Begun | None = None) -> Awaitable[Answer]:
        """The upstream's answer, its head complete. Cancelling closes the upstream at once. `begun` is this call where it was sent before.

        Where the upstream has not the endpoint that is called, another one that it has is called instead, if there is one.
        Raises Error: what rendering and signing raise, and a code for each way in which a call can fail before its answer.
        """
        instead = call.target.instead
        return self._answer(call, observation, begun) if instead is None else self._answer_or_instead(call, instead, observation)

    async def _answer_or_instead(self, call: Call, instead: Target, observation: Observation) -> Answer:
        target, other_call = call.target, replace(call, target=instead)
        if self._missing.knows(target.url):
            return await self._answer(other_call, observation)
        answer = await self._answer(call, observation)
        if answer.status not in NO_SUCH_PATH:
            return answer
        try:
            other = await self._answer(other_call, observation)
        except Error:
            return answer
        if other.status in NO_SUCH_PATH:
            # Not the path is missing, but the model, or whatever else the caller named.
            return answer
        if other.status < 300:
            self._missing.note(target.url)
        return other

    async def _answer(self, call: Call, observation: Observation, begun: Begun | None = None) -> Answer:
        """The answer of one endpoint."""
        prepared = self._prepared.get(call.target, call.endpoint)
        beside = len(call.body) > LARGE_BYTES and takes_long(call, prepared)
        outgoing = await asyncio.to_thread(rendered, call, prepared) if beside else rendered(call, prepared)
        head = prepared.head_for(outgoing.streams, outgoing.query)
        observation.origin = head.origin
        stated = outgoing.headers if outgoing.headers is not None else [pair for pair in call.headers if pair[0] not in prepared.replaced]
        if prepared.foreign_betas:
            stated = _without_foreign_betas(stated, prepared.foreign_betas, call, outgoing)
        headers = prepared.with_defaults(stated)
        request = UpstreamRequest(head, outgoing.body, headers)
        signed: Headers = ()
        try:
            if prepared.signing is not None:
                signed = await self._signatures.sign(prepared.signing, call.target.values, request)
                request.headers = [*headers, *signed]
            response = await self._opened(request, call.retries, observation, begun)
        except UpstreamError as error:
            raise failure_of(error) from error
        except SigningError as error:
            raise signing_failure_of(error) from error
        said = prepared.answer_headers
        if outgoing.dropped or outgoing.enforced:
            said = (*said, *_notes(outgoing))
        if 200 <= response.status < 300:
            if outgoing.translation is not None and not outgoing.translation.keeps_answers:
                return await _translated(call, response, outgoing.translation, said, observation)
            return _passed(call, response, said)
        if response.status == 401 and prepared.signing is not None:
            self._signatures.refused(prepared.signing, call.target.values)
        made = [*signed, *self._upstream.proxy_authorization(head.origin)]
        return await error_answer(response, outgoing, spelt_secrets(call.target, made), said, call.endpoint)

    async def _opened(self, request: UpstreamRequest, limit: int, observation: Observation, begun: Begun | None) -> UpstreamResponse:
        retries: Retries | None = None
        began = perf_counter()
        try:
            while True:
                try:
                    response = await self._upstream.open(request, begun)
                    if response.status not in RETRIED_STATUSES:
                        return response
                    retries = retries or Retries(limit)
                    wait = retries.wait_after_answer(response.status, response.headers)
                    if wait is None:
                        return response
                    response.close()
                except UpstreamError as error:
                    retries = retries or Retries(limit)
                    wait = retries.wait_after_error(error)
                    if wait is None:
                        raise
                observation.retries = retries.count
                begun = None
                await asyncio.sleep(wait)
        finally:
            observation.upstream_s += perf_counter() - began


def _without_foreign_betas(headers: RawHeaders, foreign: frozenset[bytes], call: Call, outgoing: Rendered) -> RawHeaders:
    """The headers without these; what they named is noted in `outgoing`. Raises Error where nothing may be dropped."""
    losses = Losses(drops_allowed=not forbids_drops(call.body, call.head))
    kept = without_betas(headers, foreign, losses)
    outgoing.dropped += losses.dropped
    return kept


def _passed(call: Call, response: UpstreamResponse, said: Headers) -> Answer:
    """A good answer as it is."""
    headers = to_caller(response.headers)
    headers += said
    body = response.body
    if body.ended:
        whole = body.take()
        return Answer(response.status, headers, whole, WholeRead(whole))
    usage = UsageReader()
    if (value_of(headers, b"content-type") or b"").startswith(b"text/event-stream") and value_of(headers, b"content-encoding") is None:
        events = WholeEvents(body, call.endpoint, usage)
        # It ends with its last event, or in one of ours.
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        return Answer(response.status, headers, events, usage, lambda: events.error_code, events.close)
    return Answer(response.status, headers, CountedBody(body, usage), usage, close=response.close)


async def _translated(
    call: Call, response: UpstreamResponse, translation: AnswerTranslation, said: Headers, observation: Observation
) -> Answer:
    """A good answer in the caller's format."""
    headers = [*(pair for pair in to_caller(response.headers) if pair[0] not in REPLACED_BY_TRANSLATION), *said]
    packing = _checked_packing(response)
    events = translation.stream(UnpackedBody(response.body) if packing else response.body) if call.head.stream else None
    if events is not None:
        headers.append((b"content-type", EVENTS_TYPE))
        # Not the upstream's: there are statuses whose answers have no body, and this one at least tells of an error.
        return Answer(200, headers, events, events, lambda: events.error_code, lambda: _leave(response, events))
    began = perf_counter()
    try:
        body = await response.whole(MAX_TRANSLATED_BYTES)
    except UpstreamError as error:
        raise failure_of(error) from error
    finally:
        observation.upstream_s += perf_counter() - began
    try:
        if packing:
            body = await asyncio.to_thread(unpacked, packing, body, MAX_UNPACKED_BYTES)
        is_large = len(body) > LARGE_BYTES
        content_type, rendered_body = await asyncio.to_thread(translation.whole, body) if is_large else translation.whole(body)
    except Error as error:
        # The provider has answered, and bills: whoever asked must not ask again by itself.
        raise error.with_details(retry=False) from error
    except RecursionError:
        # It was read just so: what is written is a little deeper.
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's answer is nested too deep to be translated.", retry=False) from None
    headers += [(b"content-type", content_type), (b"content-length", b"%d" % len(rendered_body))]
    return Answer(response.status, headers, rendered_body, WholeRead(body))


def _leave(response: UpstreamResponse, events: TranslatedEvents) -> None:
    if events.has_ended_well:
        response.let_end()
    else:
        response.close()


def _checked_packing(response: UpstreamResponse) -> bytes:
    try:
        return checked_packing(response.headers)
    except Error:
        response.close()
        raise


def _notes(outgoing: Rendered) -> RawHeaders:
    """What the answer says of what was done to the request."""
    notes: RawHeaders = []
    if outgoing.dropped:
        notes.append((b"x-keyhouse-params-dropped", header_text(", ".join(outgoing.dropped))))
    if outgoing.enforced:
        notes.append((b"x-keyhouse-enforced", header_text(", ".join(outgoing.enforced))))
    return notes
