"""A stored secret stays with its destination: an edit that changes where secrets are sent must bring them again. No I/O."""

from collections.abc import Mapping

from keyhouse.domain.address import Origin, parse_origin
from keyhouse.domain.credentials import MASK, Credentials
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import RestoredHeaders
from keyhouse.domain.provider_spec import ProviderSpec


def origin_in_use(credentials: Credentials, spec: ProviderSpec) -> Origin | None:
    """Where a provider's secrets are sent: its first stored address, else the provider's own. None: nowhere yet."""
    name = spec.address_in_use(credentials.text)
    address = spec.base_url if name is None else credentials.text(name)
    try:
        return parse_origin(address) if address else None
    except ValueError:
        # A provider's own address may name a region ("https://{region}..."): it lies inside one fixed domain, and never counts as a change.
        return None


def bound_origin(credentials: Credentials, spec: ProviderSpec) -> str:
    """The origin that header values are sealed for, as text: empty where no address is stored and they go to the provider's own, which
    its data file may come to state otherwise.
    """
    origin = None if spec.address_in_use(credentials.text) is None else origin_in_use(credentials, spec)
    return "" if origin is None else _written(origin)


def is_bound_to(given_for: str | None, credentials: Credentials, spec: ProviderSpec) -> bool:
    """Whether header values sealed for an origin go there with these credentials, or nowhere yet. Those sealed for none go anywhere."""
    origin = origin_in_use(credentials, spec)
    if origin is None or given_for is None:
        return True
    return given_for == _written(origin) or (given_for == "" and origin == origin_in_use(Credentials(), spec))


def require_headers_again(headers: RestoredHeaders, given_for: str | None, credentials: Credentials, spec: ProviderSpec) -> None:
    """Raise `endpoint_changed` if stored header values would go to another origin than the one that they were sealed for."""
    if headers.restored and not is_bound_to(given_for, credentials, spec):
        raise _endpoint_changed([f"extraHeaders.{position}.value" for position in headers.restored])


def require_secrets_again(
    before: Credentials, after: Credentials, given: Mapping[str, object], headers: RestoredHeaders, spec: ProviderSpec
) -> None:
    """Raise `endpoint_changed`, naming what to send again, if stored secrets would go to another origin than before.

    `given` is what the edit named, `headers` the headers after it. Secrets and headers that the edit clears need not be sent again.
    """
    if not spec.address_fields or (before.readable and before.has_same_texts(after, spec.address_fields)):
        return
    destination = origin_in_use(after, spec)
    if destination is None or (before.readable and destination == origin_in_use(before, spec)):
        return
    secrets = [f"customKeys.{name}" for name in after if _is_stored_secret(name, given, spec)]
    values = [f"extraHeaders.{position}.value" for position in headers.restored]
    fields = secrets + values
    if fields:
        raise _endpoint_changed(fields)


def _written(origin: Origin) -> str:
    return f"{origin.scheme}://{origin.host}:{origin.port}"


def _endpoint_changed(fields: list[str]) -> Error:
    return Error(
        Code.ENDPOINT_CHANGED,
        "This save would send stored credentials to another address than before. Send them again with the new address: "
        + ", ".join(fields)
        + ".",
        fields=fields,
    )


def _is_stored_secret(name: str, given: Mapping[str, object], spec: ProviderSpec) -> bool:
    """Of a value that is there after the edit: whether it was there before it, too."""
    return not spec.is_public(name) and given.get(name, MASK) == MASK
