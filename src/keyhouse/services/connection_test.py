"""The connection test: whether what is stored for a provider works, found out without a generation; and the provider's own list of
models. Neither takes an address from its caller."""

from collections.abc import Mapping
from dataclasses import dataclass

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.calling import ConnectionCheck, Route
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.precondition import entry_tag
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.domain.target import Target
from keyhouse.domain.tenancy import Caller
from keyhouse.domain.verdict import ConnectionResult, LastTest, ListedModels, Verdict
from keyhouse.gateway.connection_check import ConnectionChecker
from keyhouse.services.opened_projects import OpenedProvider, opened_provider
from keyhouse.services.rate_limit import RateLimit
from keyhouse.services.resolution import route_of
from keyhouse.services.targets import address_of, headers_and_signing
from keyhouse.storage.connection_tests import list_tests, put_test
from keyhouse.storage.model_providers import StoredProvider, list_stored
from keyhouse.storage.opening import Storage

TESTS_A_MINUTE = 20
LISTS_A_MINUTE = 20

_UNCHECKED = ConnectionResult(Verdict.UNCHECKED, "This provider has no free request that would tell whether credentials are good.")
_NO_LIST = ConnectionResult(Verdict.UNCHECKED, "This provider has no list of its models to ask for.")


@dataclass(frozen=True, slots=True, repr=False)
class _Asked:
    """What a check asks, and with what."""

    target: Target
    check: ConnectionCheck
    has_credentials: bool


class ConnectionTest:
    """Tests the providers of projects, enabled or not. Both limits count for an organization."""

    def __init__(self, storage: Storage, catalog: Catalog, checker: ConnectionChecker) -> None:
        self._storage = storage
        self._catalog = catalog
        self._checker = checker
        self._test_limit = RateLimit(TESTS_A_MINUTE)
        self._list_limit = RateLimit(LISTS_A_MINUTE)

    async def test(self, caller: Caller, provider: str) -> tuple[ConnectionResult, str]:
        """The verdict on what the caller's project stores for a provider, and the tag of the state that was tested. It is kept as the
        provider's last test.

        Raises Error `not_found` for a provider that does not exist or is not stored, `too_many_requests`, `credentials_unreadable`.
        """
        spec, stored = await self._admitted(caller, provider, self._test_limit, "connection tests")
        result = await self._result(opened_provider(spec, stored.provider))
        await self._storage.database.write(lambda tx: put_test(tx, stored, result, caller.actor))
        return result, entry_tag(provider, stored.provider.revision, self._catalog.digest)

    async def models(self, caller: Caller, provider: str) -> ListedModels:
        """The models that a provider lists with what the caller's project stores for it. Has a limit of its own, as large as that
        of tests, and raises what a test does."""
        spec, stored = await self._admitted(caller, provider, self._list_limit, "lists of models")
        asked = _asked(opened_provider(spec, stored.provider))
        if isinstance(asked, ConnectionResult):
            return ListedModels(asked)
        if asked.check.items is None:
            return ListedModels(_NO_LIST)
        return await self._checker.models(asked.target, asked.check, has_credentials=asked.has_credentials)

    def known_models(self, provider: str) -> frozenset[str]:
        """The ids of a provider that the catalogue knows, of every mode: a project need not declare them."""
        return frozenset(self._catalog.all_models(provider))

    async def last(self, project_id: str) -> Mapping[str, LastTest]:
        """The last test of each provider of a project that was tested, by provider id, whoever tested and in which process."""
        return await self._storage.database.read(lambda tx: list_tests(tx, project_id))

    async def last_of(self, project_id: str, provider: str) -> LastTest | None:
        """The last test of one provider. Raises Error `not_found` for a provider that does not exist."""
        self._catalog.required(provider)
        return (await self.last(project_id)).get(provider)

    async def _result(self, opened: OpenedProvider) -> ConnectionResult:
        asked = _asked(opened)
        if isinstance(asked, ConnectionResult):
            return asked
        return await self._checker.check(asked.target, asked.check, tuple(opened.models), has_credentials=asked.has_credentials)

    async def _admitted(self, caller: Caller, provider: str, limit: RateLimit, what: str) -> tuple[ProviderSpec, StoredProvider]:
        spec = self._catalog.required(provider)
        stored = await self._stored(caller.project_id or "", spec)
        limit.take(caller.organization_id, what)
        stored.provider.require_readable(spec)
        return spec, stored

    async def _stored(self, project_id: str, spec: ProviderSpec) -> StoredProvider:
        rows = await self._storage.database.read(lambda tx: list_stored(tx, self._storage.box, project_id))
        if spec.id not in rows:
            raise Error(Code.NOT_FOUND, f"Nothing is stored for {spec.id} in this project.")
        return rows[spec.id]


def _asked(opened: OpenedProvider) -> _Asked | ConnectionResult:
    """What is to be asked, or why there is nothing."""
    route, values = route_of(opened)
    if route is None or route.check is None:
        return _UNCHECKED
    try:
        target = _target(opened, route, route.check, values)
    except ValueError as wrong:
        return ConnectionResult(Verdict.UNREACHABLE, f"There is nothing to ask yet: {wrong}.")
    return _Asked(target, route.check, target.signing is not None or bool(opened.stored.extra_headers))


def _target(opened: OpenedProvider, route: Route, check: ConnectionCheck, values: dict[str, str]) -> Target:
    """What a check asks, and with what. Raises ValueError where an address or a part of it is not stored."""
    url = route.url(check.path, values, address_of(opened.spec, values))
    headers, fixed, signing = headers_and_signing(opened, route, values, check.signings)
    return Target(
        provider=opened.spec.id,
        model_id="",
        upstream_model="",
        endpoint="chat",
        wire="openai_chat",
        url=url,
        stream_url=url,
        headers=headers,
        fixed_headers=fixed,
        signing=signing,
        values=values,
    )
