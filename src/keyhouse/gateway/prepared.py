"""What is equal in every call of one target, made once: the rendered head of its requests, and how its bodies are looked at."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import ref

from keyhouse.domain.address import parse_origin
from keyhouse.domain.calling import EndpointName, Signing
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.target import Target
from keyhouse.gateway.headers import RawHeaders, chosen_headers
from keyhouse.gateway.request import Headers, RequestHead, request_head
from keyhouse.gateway.signing import credential_header, fixed_headers
from keyhouse.gateway.wire.dialect import foreign_keys
from keyhouse.gateway.wire.enforcement import enforced

USER_AGENT = b"keyhouse"
FORM_ENDPOINTS: frozenset[EndpointName] = frozenset({"transcription", "image_edits"})
"""Whose bodies are forms; all others are JSON."""
FORM_OR_JSON: frozenset[EndpointName] = frozenset({"image_edits"})
"""Those of them that take JSON as well: https://developers.openai.com/api/reference/resources/images/methods/edit (2026-11-29)."""

_JSON = (b"content-type", b"application/json")
# Bytes pass as they come, so that they can be read on the way: events, usage, errors.
_OURS = ((b"accept-encoding", b"identity"), (b"user-agent", USER_AGENT))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prepared:
    """The head of whole and of streamed requests; `signing` where each request is signed on its own.

    `replaced` are the caller's headers that do not go on, `defaults` those that go out where the caller states none of the name,
    `answer_headers` what every answer says of the target. `declares`: the project limits the model, so that each body is looked into;
    `has_range`: only those that name a temperature; `foreign`: only those that name one of these keys, which the server refuses.
    `foreign_betas` are the values of `anthropic-beta` that it refuses.
    """

    head: RequestHead
    stream_head: RequestHead
    headers: RawHeaders
    signing: Signing | None
    replaced: frozenset[bytes]
    defaults: RawHeaders
    answer_headers: tuple[tuple[bytes, bytes], ...]
    declares: bool
    has_range: bool
    foreign: tuple[bytes, ...]
    foreign_betas: frozenset[bytes]

    def __repr__(self) -> str:
        return "***"

    def with_defaults(self, headers: RawHeaders) -> RawHeaders:
        """The headers that follow the head, with those that the provider wants and nobody stated."""
        if not self.defaults:
            return headers
        stated = {name for name, _ in headers}
        return [*headers, *(pair for pair in self.defaults if pair[0] not in stated)]

    def head_for(self, streams: bool, query: bytes) -> RequestHead:
        """The head of a request, with more of a query where it has one of its own."""
        head = self.stream_head if streams else self.head
        if not query:
            return head
        return request_head(head.method, head.origin, head.target + (b"&" if b"?" in head.target else b"?") + query, self.headers)


@dataclass(slots=True)
class PreparedTargets:
    """Prepared targets, each as long as its target lives."""

    _kept: dict[int, tuple["ref[Target]", Prepared]] = field(default_factory=dict, repr=False)

    def get(self, target: Target, endpoint: EndpointName) -> Prepared:
        """A target, prepared for the endpoint it was made for.

        Raises Error `provider_incomplete` for stored values that no request can carry, `wrong_model_mode` for a model of another mode.
        """
        # By identity: a third of the price of a WeakKeyDictionary.
        key = id(target)
        kept = self._kept.get(key)
        if kept is None or kept[0]() is not target:
            kept = ref(target, lambda _: self._kept.pop(key, None)), _prepared(target, endpoint)
            self._kept[key] = kept
        return kept[1]


def _prepared(target: Target, endpoint: EndpointName) -> Prepared:
    declared = target.declared
    if declared is not None:
        enforced(endpoint, {}, declared)
    try:
        headers, signing = _headers(target, of_json=endpoint not in FORM_ENDPOINTS)
        defaults = _encoded(target.fixed_headers)
        head = _head(b"POST", target.url, headers)
        stream_head = head if target.stream_url == target.url else _head(b"POST", target.stream_url, headers)
    except ValueError as wrong:
        raise Error(Code.PROVIDER_INCOMPLETE, f"{target.provider} cannot be called as it is stored: {wrong}.") from None
    return Prepared(
        head=head,
        stream_head=stream_head,
        headers=headers,
        signing=signing,
        defaults=defaults,
        replaced=frozenset(name.lower() for name, _ in headers) | ({credential_header(target.signing)} if target.signing else set()),
        answer_headers=chosen_headers(target.provider, target.model_id),
        declares=declared is not None and declared.limits,
        has_range=target.temperature_range is not None,
        foreign=foreign_keys(target.dialect),
        foreign_betas=frozenset(beta.encode() for beta in target.dialect.refuses_betas),
    )


def asking_head(target: Target) -> tuple[RequestHead, Signing | None]:
    """The head of a GET that sends what a call of the target sends, and the way to sign where that is done for each request.

    Raises ValueError for stored values that no request can carry, in a sentence without them.
    """
    headers, signing = _headers(target, of_json=False)
    return _head(b"GET", target.url, [*headers, *_encoded(target.fixed_headers)]), signing


def _headers(target: Target, *, of_json: bool) -> tuple[RawHeaders, Signing | None]:
    """The headers of every request, and the way to sign where that is done for each. The type of a form is the caller's to say."""
    own = [(name, value) for name, value in _encoded(target.headers) if name.lower() != b"content-type"]
    try:
        signing: Signing | None = None
        fixed: Headers | None = ()
        if target.signing is not None:
            fixed = fixed_headers(target.signing, target.values)
            signing = target.signing if fixed is None else None
    except UnicodeEncodeError:
        raise ValueError("a stored header holds characters that no header can carry") from None
    names = {name.lower() for name, _ in own}
    ours = (*_OURS, _JSON) if of_json else _OURS
    return [*(pair for pair in ours if pair[0] not in names), *own, *(fixed or ())], signing


def _encoded(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    try:
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    except UnicodeEncodeError:
        raise ValueError("a stored header holds characters that no header can carry") from None


def _head(method: bytes, url: str, headers: RawHeaders) -> RequestHead:
    origin = parse_origin(url)
    path = url.partition("://")[2].partition("/")[2]
    return request_head(method, origin, b"/" + path.encode("ascii"), headers)
