"""Speech and transcription between OpenAI's formats and ElevenLabs'.

https://elevenlabs.io/docs/api-reference/text-to-speech/stream, https://elevenlabs.io/docs/api-reference/speech-to-text/convert and
https://developers.openai.com/api/reference/resources/audio (2026-11-23); what both have of late by the types of the elevenlabs (2.78.0)
and the openai package (3.57.0), 30 November 2026.
"""

import msgspec

from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.fields import Fields, JsonObject, unknown, unsupported, without_nones
from keyhouse.gateway.wire.form import Form, Part
from keyhouse.gateway.wire.json_text import UNREADABLE
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.parameters import DROP_TUNING_PARAMS

OUTPUT_FORMATS = {"mp3": "mp3_44100_128", "opus": "opus_48000_128", "pcm": "pcm_24000"}
"""What OpenAI calls a format, and the one that comes closest: its pcm has 24 kHz too."""
_SLOWEST, _FASTEST = 0.7, 1.2
"""Other speeds are brought in here, or make no sound, without a word: https://github.com/livekit/agents/issues/4774 (2026-02-09)."""
_SPOKEN = ("model", "input", "voice", "response_format", "speed", "instructions", "stream_format", DROP_TUNING_PARAMS)
_TRANSCRIBED = {
    "model": "model_id",
    "language": "language_code",
    "languages[]": "language_code",
    "keywords[]": "keyterms",
    "temperature": "temperature",
    "file": "file",
}
_DROPPED = (
    "prompt",
    "include[]",
    "chunking_strategy",
    "timestamp_granularities[]",
    "known_speaker_names[]",
    "known_speaker_references[]",
)


class _Voice(msgspec.Struct):
    voice: str | dict[str, object] | None = None


_voice = msgspec.json.Decoder(_Voice)


def voice_of(body: bytes) -> str:
    """The voice that a request for speech names, as a text or by its id; empty where it names none."""
    try:
        voice = _voice.decode(body).voice
    except UNREADABLE:
        return ""
    if isinstance(voice, dict):
        voice = str(voice.get("id") or "")
    return voice or ""


def render_speech_request(body: JsonObject, model: str, losses: Losses) -> tuple[JsonObject, str]:
    """The body for ElevenLabs, and the output format, which stands in the query. Raises Error (`unsupported_parameter`)."""
    fields = Fields(body)
    fields.check_names(*_SPOKEN)
    wanted = fields.text_or_none("response_format") or "mp3"
    if wanted not in OUTPUT_FORMATS:
        raise unsupported("response_format", f"The upstream has {', '.join(OUTPUT_FORMATS)}.")
    if fields.text_or_none("stream_format") == "sse":
        raise unsupported("stream_format", "The upstream sends sound, and no events.")
    if fields.has("instructions"):
        losses.drop("instructions", "The upstream has nothing like it.")
    speed = _speed(fields, losses)
    settings = {"speed": speed} if speed is not None and speed != 1 else None
    return without_nones({"text": fields.text("input"), "model_id": model, "voice_settings": settings}), OUTPUT_FORMATS[wanted]


def _speed(fields: Fields, losses: Losses) -> int | float | None:
    asked = fields.number_or_none("speed")
    if asked is None or _SLOWEST <= asked <= _FASTEST:
        return asked
    taken = _SLOWEST if asked < _SLOWEST else _FASTEST
    losses.change("speed", taken)
    return taken


def render_transcription_form(form: Form, model: str, losses: Losses) -> tuple[bytes, str]:
    """The form for ElevenLabs under the same boundary, and the format that the caller wants. Raises Error (`unsupported_parameter`)."""
    wanted = form.value("response_format") or "json"
    if wanted not in ("json", "text"):
        raise unsupported("response_format", "The upstream's answer can be had as json and as text.")
    if form.value("stream") == "true":
        raise unsupported("stream", "The upstream does not stream transcriptions.")
    pieces: list[bytes | memoryview] = []
    dropped = _DROPPED if _names_one_language(form) else (*_DROPPED, "languages[]")
    for part in form.parts:
        if part.name in dropped:
            losses.drop(part.name, "The upstream has nothing like it.")
        elif part.name in _TRANSCRIBED and part.name != "model":
            pieces += _renamed(form, part, _TRANSCRIBED[part.name])
        elif part.name not in ("model", "response_format", "stream", DROP_TUNING_PARAMS):
            raise unknown(part.name[:100])
    head = b'--%b\r\ncontent-disposition: form-data; name="model_id"\r\n\r\n%b\r\n' % (form.boundary, model.encode())
    return b"".join([head, *pieces, b"--%b--\r\n" % form.boundary]), wanted


def _names_one_language(form: Form) -> bool:
    """Whether the language is named once: ElevenLabs takes one, and finds it out by itself where several are possible."""
    return sum(part.name in ("language", "languages[]") for part in form.parts) == 1


def _renamed(form: Form, part: Part, name: str) -> list[bytes | memoryview]:
    kind = b'; filename="audio"\r\ncontent-type: application/octet-stream' if name == "file" else b""
    head = b'--%b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n' % (form.boundary, name.encode(), kind)
    return [head, memoryview(form.body)[part.start : part.end], b"\r\n"]


def parse_transcription(body: bytes, wanted: str) -> tuple[bytes, bytes]:
    """The content type and the body of an answer. Raises Error (`upstream_invalid_answer`)."""
    text = decoded(body).text("text")
    if wanted == "text":
        return b"text/plain; charset=utf-8", f"{text}\n".encode()
    return b"application/json", msgspec.json.encode({"text": text})
