"""The house, wired by hand: settings in, one application out. Nothing is decided here but who is given what."""

import contextlib
import functools
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import version

import msgspec
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from keyhouse.catalog.catalog import Catalog, load_catalog
from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.address_policy import address_policy
from keyhouse.gateway.connection_check import ConnectionChecker
from keyhouse.gateway.observation import Observe
from keyhouse.gateway.outgoing import Outgoing
from keyhouse.gateway.proxy import proxies
from keyhouse.gateway.relay import Relay
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.tls import tls_context
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.log import AccessLines, access_lines
from keyhouse.services.api_keys import ApiKeys
from keyhouse.services.attention import Attention
from keyhouse.services.audit import Audit
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.services.encryption_keys import status
from keyhouse.services.identity import Identity
from keyhouse.services.last_uses import STORED_EVERY_S, LastUses
from keyhouse.services.metrics.metrics import Metrics
from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.services.models import Models
from keyhouse.services.opened_projects import OpenedProjects
from keyhouse.services.organizations import Organizations
from keyhouse.services.projects import Projects
from keyhouse.services.replicas import SEEN_EVERY_S, Replicas
from keyhouse.services.sessions import Sessions
from keyhouse.services.teams import Teams
from keyhouse.services.upkeep import Chore, upkeep
from keyhouse.settings import Settings
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.key_file import KeySource
from keyhouse.storage.opening import Storage, prepare_storage
from keyhouse.storage.readiness import look
from keyhouse.web.control.access import Gate
from keyhouse.web.control.api_keys import api_key_routes
from keyhouse.web.control.audit import audit_routes
from keyhouse.web.control.connection_test import connection_test_routes
from keyhouse.web.control.model_defaults import model_default_routes
from keyhouse.web.control.model_providers import model_provider_routes
from keyhouse.web.control.openapi import api_document
from keyhouse.web.control.organizations import organization_routes
from keyhouse.web.control.projects import project_routes
from keyhouse.web.control.routing import ControlPlane, Route
from keyhouse.web.control.schemas import EntryEncoder
from keyhouse.web.control.short_way import ShortWay
from keyhouse.web.control.teams import team_routes
from keyhouse.web.gateway.endpoints import is_meant_for_gateway
from keyhouse.web.gateway.exchange import Exchange
from keyhouse.web.gateway.gateway import Gateway
from keyhouse.web.gateway.gateway_services import Limits
from keyhouse.web.http_exchange import Answering, HttpExchange
from keyhouse.web.log import RequestLines, RequestLog
from keyhouse.web.observability import MetricsAccess, Observability
from keyhouse.web.observing import observing
from keyhouse.web.pages.api_docs import api_documents
from keyhouse.web.pages.audit import AuditPages
from keyhouse.web.pages.documents import Documents
from keyhouse.web.pages.keys import KeyPages
from keyhouse.web.pages.live_models import LiveModelPages
from keyhouse.web.pages.organization import OrganizationPages
from keyhouse.web.pages.provider_form import ProviderFormPages
from keyhouse.web.pages.provider_test import ProviderTestPages
from keyhouse.web.pages.providers import ProviderPages
from keyhouse.web.pages.sign_in import SignInPages
from keyhouse.web.pages.site import Site, with_pages
from keyhouse.web.pages.status import StatusPages
from keyhouse.web.pages.try_it import TryPages


class House(msgspec.Struct, frozen=True):
    """Everything that runs: the storage, the catalogue, and the API in front of them."""

    storage: Storage
    catalog: Catalog
    control: ControlPlane
    short_way: ShortWay
    identity: Identity
    models: Models
    attention: Attention
    outgoing: Outgoing
    providers: ModelProviders
    tests: ConnectionTest
    last_uses: LastUses
    replicas: Replicas


_catalog = functools.cache(load_catalog)


def read_files(settings: Settings) -> None:
    """Read what every process of a server needs of the catalogue and of certificates, once for all that are forked from this one.

    Raises Error `configuration` for what is wrong with them, or with another setting of how upstreams are called.
    """
    _catalog(settings.models_file)
    upstream = _upstream_settings(settings)
    tls_context(upstream.cert_file, upstream.ca_file)


def key_source(settings: Settings) -> KeySource:
    """Where the encryption keys are."""
    return KeySource(settings.key_ring_file, _text(settings.keys))


async def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name, its schema up to date. Raises Error with a sentence for people."""
    return await prepare_storage(parse_database_url(settings.url), key_source(settings), accept_unreadable=settings.accept_unreadable)


@contextlib.asynccontextmanager
async def opened_storage(settings: Settings) -> AsyncIterator[Storage]:
    """The same, for as long as the block lasts."""
    storage = await open_storage(settings)
    try:
        yield storage
    finally:
        await storage.database.close()


def build_house(settings: Settings, storage: Storage, lines: AccessLines | None = None) -> House:
    """Wire the house over an open storage. `lines` are for requests of its API; None where nobody wants to know of them."""
    catalog = _catalog(settings.models_file)
    encoder = EntryEncoder(catalog)
    identity = Identity(storage)
    providers = ModelProviders(
        storage, catalog, encoder.encode_all, encoder.encode_one, keep_secrets=settings.keep_secrets_on_endpoint_change
    )

    models = Models(OpenedProjects(storage, catalog), catalog)

    def forget(notices: Sequence[ChangeNotice] | None) -> None:
        identity.forget(notices)
        models.forget(notices)
        providers.forget(notices)

    storage.database.on_changes = forget
    last_uses, replicas = LastUses(storage), Replicas(storage, version("keyhouse"))
    gate = Gate(identity, storage.database, _text(settings.admin_key), last_uses.note_key)
    outgoing = Outgoing(lambda: _upstream_settings(settings))
    tests = ConnectionTest(storage, catalog, ConnectionChecker(outgoing))
    routes = [*model_provider_routes(providers), *connection_test_routes(tests), *_tenancy_routes(storage)]
    request_lines = RequestLines(lines)
    control = ControlPlane(routes, gate, request_lines)
    short_way = ShortWay(control.router, gate, request_lines, control.serve)
    attention = Attention(storage.database)
    return House(storage, catalog, control, short_way, identity, models, attention, outgoing, providers, tests, last_uses, replicas)


@contextlib.asynccontextmanager
async def open_gateway(settings: Settings, house: House, metrics: Metrics, lines: AccessLines | None) -> AsyncIterator[Gateway]:
    """The gateway of a house, with its connections to upstreams. Raises Error `configuration`."""
    limits = Limits(settings.max_request_bytes, settings.max_calls_per_project, settings.upstream_retries, settings.origins)
    names = {spec.id: spec.telemetry_name for spec in house.catalog.providers.values() if spec.telemetry_name}
    try:
        upstream = house.outgoing.upstream
        async with observing(metrics, house.last_uses, upstream, lines, names if settings.tracing else None) as observe:
            yield _gateway(house, limits, observe)
    finally:
        await house.outgoing.close()


def local_gateway(house: House) -> Gateway:
    """The gateway for a caller in this process, who is observed by nobody."""
    return _gateway(house, Limits(), lambda observation: None)


def _gateway(house: House, limits: Limits, observe: Observe) -> Gateway:
    relay = Relay(house.outgoing.upstream, house.outgoing.signatures)
    return Gateway(house.identity, house.models, house.attention, relay, limits, observe)


def _observable(rooms: ASGIApp, settings: Settings, storage: Storage, metrics: Metrics) -> ASGIApp:
    """The rooms behind the routes for operators."""
    access = MetricsAccess(settings.metrics_public, _text(settings.admin_key))
    return Observability(rooms, lambda: storage.database.read(look), metrics.text, access)


def _upstream_settings(settings: Settings) -> UpstreamSettings:
    try:
        policy = address_policy(settings.allow_private_addresses, settings.allowed_addresses)
    except ValueError as wrong:
        raise Error(Code.CONFIGURATION, f"A setting is wrong: KEYHOUSE_ALLOWED_ADDRESSES: {wrong}.") from None
    try:
        outgoing = proxies(_text(settings.https_proxy) or "", _text(settings.http_proxy) or "", settings.no_proxy or "")
    except ValueError as wrong:
        raise Error(Code.CONFIGURATION, f"A setting is wrong: {wrong}.") from None
    return UpstreamSettings(
        timeouts=Timeouts(
            connect_s=settings.upstream_connect_timeout_s,
            first_byte_s=settings.upstream_first_byte_timeout_s,
            idle_s=settings.upstream_idle_timeout_s,
        ),
        policy=policy,
        proxies=outgoing,
        cert_file=settings.ssl_cert_file or "",
        ca_file=str(settings.ca_file or ""),
    )


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _pages(house: House, gateway: Gateway, metrics: Metrics) -> Site:
    """The settings pages, over the services that the API has too."""
    storage, providers = house.storage, house.providers
    sessions, defaults = Sessions(storage, house.last_uses.note_key), ModelDefaults(storage)
    projects, teams, api_keys, audit = Projects(storage), Teams(storage), ApiKeys(storage), Audit(storage)
    sign_in = SignInPages(sessions, projects)
    pages = [
        *sign_in.pages(),
        *ProviderFormPages(providers, defaults).pages(),
        *ProviderPages(providers, defaults, house.tests, house.last_uses).pages(),
        *ProviderTestPages(house.tests).pages(),
        *LiveModelPages(house.tests, providers).pages(),
        *TryPages(providers, defaults, house.models, gateway).pages(),
        *KeyPages(api_keys, audit, projects, teams, defaults, house.last_uses).pages(),
        *OrganizationPages(projects, teams, providers.name_of).pages(),
        *AuditPages(audit, providers.name_of).pages(),
        *StatusPages(lambda: status(storage.database, storage.keys), house.replicas, metrics, providers.name_of).pages(),
    ]
    return Site(sessions, pages, sign_in.open_routes())


def _tenancy_routes(storage: Storage) -> list[Route]:
    """Everything about who there is."""
    return [
        *model_default_routes(ModelDefaults(storage)),
        *organization_routes(Organizations(storage)),
        *team_routes(Teams(storage)),
        *project_routes(Projects(storage)),
        *api_key_routes(ApiKeys(storage)),
        *audit_routes(Audit(storage)),
    ]


class App:
    """The application: opens the house when the server starts, and shows each request to its room. Only the pages' go over ASGI.

    `metrics` are this worker's, where several share what they count.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._house: House | None = None
        self._rooms: ASGIApp | None = None
        self._gateway: Gateway | None = None
        self.answering = Answering(self._choose, self._at_once)
        """What answers requests without ASGI."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "http" and self._rooms is not None:
            await self._rooms(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    def _choose(self, path: str) -> Callable[[Exchange], Awaitable[None]] | None:
        """What answers requests for a path without ASGI: the gateway and the API, each where they are its own."""
        if self._house is None or self._gateway is None:
            return None
        if path.startswith(("/api/", "//api/")):
            return self._house.control.serve
        return self._gateway.serve if is_meant_for_gateway(path) else None

    def _at_once(self, exchange: HttpExchange) -> bool:
        """Begin to answer a request without a task, where that can be; tells whether it has."""
        if self._house is None or self._gateway is None:
            return False
        if exchange.path.startswith("/api/"):
            return self._house.short_way.begin(exchange)
        return self._gateway.short_road.begin(exchange)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with contextlib.AsyncExitStack() as opened:
            try:
                storage = await opened.enter_async_context(opened_storage(self._settings))
                lines = access_lines(self._settings.log_format, self._settings.log_level)
                self._house = house = build_house(self._settings, storage, lines)
                self._gateway = await opened.enter_async_context(open_gateway(self._settings, house, self._metrics, lines))
                site = _pages(house, self._gateway, self._metrics)
                rooms = Documents(api_documents(functools.partial(api_document, house.control.router.routes)), with_pages(site))
                self._rooms = _observable(RequestLog(rooms, RequestLines(lines)), self._settings, storage, self._metrics)
            except Error as error:
                await send({"type": "lifespan.startup.failed", "message": error.message})
                return
            _settle_memory()
            async with house.attention.kept(), upkeep(storage, _chores(house)):
                await send({"type": "lifespan.startup.complete"})
                await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _settle_memory() -> None:
    """What is loaded by now stays: the garbage collector need not look at it again, some 10% of a write's time."""
    # It is off in a process that did nothing but load: of 100,000 objects some 700 are garbage, and to find them takes a tenth of a start.
    if gc.isenabled():
        gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 100)


def _chores(house: House) -> list[Chore]:
    """What a process notes of itself, and of what went through it."""
    return [
        Chore(SEEN_EVERY_S, house.replicas.note, at_the_end=house.replicas.leave),
        Chore(STORED_EVERY_S, house.last_uses.store, after_s=STORED_EVERY_S),
    ]
