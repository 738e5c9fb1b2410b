"""Renders requests for embeddings, reranking, speech and transcription where the upstream's format is another one than the caller's."""

from collections.abc import Callable, Mapping

import msgspec

from keyhouse.domain.calling import EndpointName, Wire
from keyhouse.gateway.call import Call
from keyhouse.gateway.passing import PassedBody
from keyhouse.gateway.prepared import Prepared
from keyhouse.gateway.rendered import Render, Rendered, held_body, passed_on
from keyhouse.gateway.translated import JSON_TYPE
from keyhouse.gateway.wire import openai_chat, voyage_embeddings, voyage_rerank
from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.detail_errors import parse_error
from keyhouse.gateway.wire.fields import Fields, JsonObject
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.parameters import DROP_TUNING_PARAMS, losses_of
from keyhouse.gateway.wire.speech import parse_transcription, render_speech_request, render_transcription_form

RenderBody = Callable[[JsonObject, str, Losses], JsonObject]
ParseBody = Callable[[bytes], tuple[bytes, bytes]]


class DetailTranslation:
    """Answers of APIs that state errors in `detail`. `parse` turns a whole answer into the caller's; None: it passes as it is."""

    def __init__(self, parse: ParseBody | None) -> None:
        self._parse = parse
        self.keeps_answers = parse is None

    def whole(self, body: bytes) -> tuple[bytes, bytes]:
        """See AnswerTranslation."""
        return (JSON_TYPE, body) if self._parse is None else self._parse(body)

    def error(self, status: int, body: bytes, error_type: str | None) -> bytes:
        """See AnswerTranslation."""
        return msgspec.json.encode(openai_chat.render_error(parse_error(status, body)))

    def stream(self, body: PassedBody) -> None:
        """See AnswerTranslation."""
        return


def _json(render_body: RenderBody, parse_body: Callable[[Fields], JsonObject]) -> Render:
    def parse(body: bytes) -> tuple[bytes, bytes]:
        return JSON_TYPE, msgspec.json.encode(parse_body(decoded(body)))

    def render(call: Call, prepared: Prepared) -> Rendered:
        held = held_body(call)
        losses = losses_of(held.body)
        body = render_body(held.body, call.target.upstream_model, losses)
        return Rendered(
            msgspec.json.encode(body),
            dropped=(*held.dropped, *losses.dropped),
            enforced=(*held.enforced, *losses.enforced),
            headers=passed_on(call, prepared),
            translation=DetailTranslation(parse),
        )

    return render


def _speech(call: Call, prepared: Prepared) -> Rendered:
    held = held_body(call)
    losses = losses_of(held.body)
    body, output_format = render_speech_request(held.body, call.target.upstream_model, losses)
    return Rendered(
        msgspec.json.encode(body),
        dropped=(*held.dropped, *losses.dropped),
        enforced=(*held.enforced, *losses.enforced),
        headers=passed_on(call, prepared),
        translation=DetailTranslation(None),
        query=b"output_format=" + output_format.encode(),
    )


def _transcription(call: Call, prepared: Prepared) -> Rendered:
    assert call.form is not None  # noqa: S101 - transcriptions are asked for by a form
    losses = Losses(drops_allowed=call.form.value(DROP_TUNING_PARAMS) != "false")
    body, wanted = render_transcription_form(call.form, call.target.upstream_model, losses)
    kind = (b"content-type", b"multipart/form-data; boundary=" + call.form.boundary)
    return Rendered(
        body,
        dropped=losses.dropped,
        headers=[kind, *passed_on(call, prepared)],
        translation=DetailTranslation(lambda answer: parse_transcription(answer, wanted)),
    )


OTHER_TRANSLATIONS: Mapping[tuple[EndpointName, Wire], Render] = {
    ("embeddings", "voyage_embeddings"): _json(voyage_embeddings.render_request, voyage_embeddings.parse_response),
    ("rerank", "voyage_rerank"): _json(voyage_rerank.render_request, voyage_rerank.parse_response),
    ("speech", "elevenlabs_speech"): _speech,
    ("transcription", "elevenlabs_transcription"): _transcription,
}
"""By the caller's endpoint and the upstream's wire format."""
