"""A project's model provider and the whole rule of how a PUT changes it, pure. What leaves here is what storage writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from keyhouse.domain.credentials import MASK, Credentials, given_as_stored
from keyhouse.domain.destination import bound_origin, is_bound_to, origin_in_use, require_headers_again, require_secrets_again
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import ExtraHeader, RestoredHeaders, restored_headers
from keyhouse.domain.key_rules import require_valid
from keyhouse.domain.model import CustomModel
from keyhouse.domain.provider_spec import ProviderSpec


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""A field that a request did not name. It differs from null and from empty."""

Models = tuple[CustomModel, ...]
Headers = tuple[ExtraHeader, ...]


@dataclass(frozen=True, slots=True)
class ModelProviderUpdate:
    """What a PUT says. Every field but `enabled` may be absent, which means: keep."""

    enabled: bool
    custom_keys: Mapping[str, object] | Literal[Absent.ABSENT] = ABSENT
    custom_models: Models | Literal[Absent.ABSENT] = ABSENT
    custom_embeddings_models: Models | Literal[Absent.ABSENT] = ABSENT
    extra_headers: Headers | Literal[Absent.ABSENT] = ABSENT
    default_model: str | Literal[Absent.ABSENT] = ABSENT

    def __repr__(self) -> str:
        return "ModelProviderUpdate(***)"


@dataclass(frozen=True, slots=True)
class ModelProvider:
    """A provider as a project has it. `id` is empty, and `version` and `revision` are 0, until it is stored.

    `version` counts the changes of this provider, `revision` is the project's revision at the last of them. `headers_for` is the origin
    that the header values were given for, as `bound_origin` has it, sealed together with them: whoever can write to the database cannot
    have them sent elsewhere. None where it was not sealed.
    """

    provider: str
    id: str = ""
    enabled: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    custom_models: Models = ()
    custom_embeddings_models: Models = ()
    extra_headers: Headers = ()
    headers_for: str | None = field(default=None, repr=False)
    version: int = 0
    revision: int = 0

    @property
    def is_stored(self) -> bool:
        """Whether a row exists."""
        return bool(self.id)

    @property
    def says_nothing(self) -> bool:
        """Whether it says no more than a provider that was never stored."""
        return not (self.enabled or self.credentials or self.custom_models or self.custom_embeddings_models or self.extra_headers)

    @property
    def is_readable(self) -> bool:
        """Whether the stored credentials and header values could be opened."""
        return self.credentials.readable and not _has_unreadable(self.extra_headers)

    def require_readable(self, spec: ProviderSpec) -> None:
        """Raise Error `credentials_unreadable` where this provider is to be called with what cannot be opened or belongs elsewhere."""
        if not self.is_readable:
            raise Error(
                Code.CREDENTIALS_UNREADABLE,
                f"What is stored for {self.provider} cannot be opened: its encryption key is missing, or it was damaged. "
                "Put the key back (`keyhouse keys status` tells what is missing), or send the credentials and headers again.",
            )
        if self.extra_headers and not is_bound_to(self.headers_for, self.credentials, spec):
            raise Error(
                Code.CREDENTIALS_UNREADABLE,
                f"The header values stored for {self.provider} were given for another address than the one stored now. Send them again.",
            )

    def require_addable(self, spec: ProviderSpec) -> None:
        """Raise Error `provider_deprecated` where a write would add a provider that is on its way out."""
        if spec.deprecated and not self.is_stored:
            raise Error(Code.PROVIDER_DEPRECATED, "This model provider is no longer available to add.")

    def updated(self, update: ModelProviderUpdate, spec: ProviderSpec, *, keep_secrets_on_endpoint_change: bool = False) -> "ModelProvider":
        """This provider after a PUT.

        Raises Error with `provider_deprecated`, `credentials_would_be_lost`, `credentials_unreadable`, `invalid_api_key_configuration` or
        `endpoint_changed`; then nothing may be written.
        """
        if spec.deprecated:
            self.require_addable(spec)
        given = {} if update.custom_keys is ABSENT else given_as_stored(update.custom_keys, spec)
        credentials = self.credentials if update.custom_keys is ABSENT else self._merged(given, spec)
        headers = self._headers_after(update)
        if not keep_secrets_on_endpoint_change and update.custom_keys is not ABSENT:
            require_secrets_again(self.credentials, credentials, given, headers, spec)
        headers_for = self.headers_for
        if update.custom_keys is not ABSENT or update.extra_headers is not ABSENT:
            headers_for = self._headers_for(credentials, headers, spec, moves=keep_secrets_on_endpoint_change)
        return ModelProvider(  # in order, not by `replace`, which takes four times as long
            self.provider,
            self.id,
            update.enabled,
            credentials,
            self.custom_models if update.custom_models is ABSENT else update.custom_models,
            self.custom_embeddings_models if update.custom_embeddings_models is ABSENT else update.custom_embeddings_models,
            headers.headers,
            headers_for,
            self.version,
            self.revision,
        )

    def numbered(self, row_id: str, version: int, revision: int) -> "ModelProvider":
        """The same under another id and other numbers."""
        return ModelProvider(
            self.provider,
            row_id,
            self.enabled,
            self.credentials,
            self.custom_models,
            self.custom_embeddings_models,
            self.extra_headers,
            self.headers_for,
            version,
            revision,
        )

    def _headers_for(self, credentials: Credentials, headers: RestoredHeaders, spec: ProviderSpec, *, moves: bool) -> str | None:
        """What header values are given for after an edit of them or of the credentials. Raises `endpoint_changed`, unless they move."""
        if not headers.headers:
            return None
        if headers.restored and _has_unreadable(headers.headers):
            return self.headers_for
        if not credentials.readable:
            # Which address is stored lies in what cannot be read.
            return self.headers_for if headers.restored else None
        if headers.restored and origin_in_use(credentials, spec) is None:
            # They go nowhere, and before they go anywhere they are to be sent again.
            return self.headers_for
        if headers.restored and not moves:
            require_headers_again(headers, self.headers_for, credentials, spec)
        return bound_origin(credentials, spec)

    def _merged(self, given: Mapping[str, object], spec: ProviderSpec) -> Credentials:
        if self.credentials and not any(map(spec.is_known, given)):
            raise Error(
                Code.CREDENTIALS_WOULD_BE_LOST,
                "This save would delete the credentials already stored for this provider. "
                "Send the credentials with it, or leave them out of the request entirely to keep them.",
            )
        if not self.credentials.readable and not any(_replaces_secret(name, value, spec) for name, value in given.items()):
            raise Error(
                Code.CREDENTIALS_UNREADABLE,
                "The credentials stored for this provider cannot be read, so this save would replace them with nothing. "
                "Type a new credential and save again.",
            )
        merged = self.credentials.merged(given, spec)
        require_valid(given, merged, spec)
        return self.credentials if merged == self.credentials else merged

    def _headers_after(self, update: ModelProviderUpdate) -> RestoredHeaders:
        if update.extra_headers is ABSENT:
            return RestoredHeaders(self.extra_headers, tuple(range(len(self.extra_headers))))
        if update.extra_headers == self.extra_headers:
            # None of them is a mask, which is never stored.
            return RestoredHeaders(self.extra_headers, ())
        after = restored_headers(update.extra_headers, self.extra_headers)
        if after.headers == self.extra_headers:
            return RestoredHeaders(self.extra_headers, after.restored)
        if _has_unreadable(after.headers):
            raise Error(
                Code.CREDENTIALS_UNREADABLE,
                "The header values stored for this provider cannot be read, so this save would replace them with nothing. "
                "Type each header's value and save again.",
            )
        return after


def _has_unreadable(headers: Headers) -> bool:
    return None in [header.value for header in headers]


def _replaces_secret(name: str, value: object, spec: ProviderSpec) -> bool:
    if not spec.is_known(name) or spec.is_public(name) or value == MASK:
        return False
    return value.strip() != "" if isinstance(value, str) else value is not None
