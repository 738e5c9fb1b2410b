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


def require_secrets_again(
    before: Credentials, after: Credentials, given: Mapping[str, object], headers: RestoredHeaders, spec: ProviderSpec
) -> None:
    """Raise `endpoint_changed`, naming what to send again, if stored secrets would go to another origin than before.

    `given` is what the edit named, `headers` the headers after it. Secrets and headers that the edit clears need not be sent again.
    """
    destination = origin_in_use(after, spec)
    if destination is None or not spec.address_fields or (before.readable and destination == origin_in_use(before, spec)):
        return
    secrets = [f"customKeys.{name}" for name in after if _is_stored_secret(name, given, spec)]
    values = [f"extraHeaders.{position}.value" for position in headers.restored]
    fields = secrets + values
    if fields:
        raise Error(
            Code.ENDPOINT_CHANGED,
            "This save would send stored credentials to another address than before. Send them again with the new address: "
            + ", ".join(fields)
            + ".",
            fields=fields,
        )


def _is_stored_secret(name: str, given: Mapping[str, object], spec: ProviderSpec) -> bool:
    """Of a value that is there after the edit: whether it was there before it, too."""
    return not spec.is_public(name) and given.get(name, MASK) == MASK
