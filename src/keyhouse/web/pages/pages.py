"""The settings pages, put together over the services that the API has too."""

import msgspec

from keyhouse.services.api_keys import ApiKeys
from keyhouse.services.audit import Audit
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.services.last_uses import LastUses
from keyhouse.services.metrics.metrics import Metrics
from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.services.models import Models
from keyhouse.services.projects import Projects
from keyhouse.services.replicas import Replicas
from keyhouse.services.sessions import Sessions
from keyhouse.services.teams import Teams
from keyhouse.web.gateway.gateway import Gateway
from keyhouse.web.pages.keys import KeyPages
from keyhouse.web.pages.live_models import LiveModelPages
from keyhouse.web.pages.organization import OrganizationPages
from keyhouse.web.pages.provider_form import ProviderFormPages
from keyhouse.web.pages.provider_test import ProviderTestPages
from keyhouse.web.pages.providers import ProviderPages
from keyhouse.web.pages.sign_in import SignInPages
from keyhouse.web.pages.site import Site
from keyhouse.web.pages.status import ReadStatus, StatusPages
from keyhouse.web.pages.try_it import TryPages


class Services(msgspec.Struct, frozen=True):
    """What the pages enter at."""

    sessions: Sessions
    providers: ModelProviders
    tests: ConnectionTest
    models: Models
    gateway: Gateway
    defaults: ModelDefaults
    projects: Projects
    teams: Teams
    api_keys: ApiKeys
    audit: Audit
    read_status: ReadStatus
    replicas: Replicas
    last_uses: LastUses
    metrics: Metrics


def settings_pages(services: Services) -> Site:
    """All pages as one application."""
    sign_in = SignInPages(services.sessions, services.projects)
    pages = [
        *sign_in.pages(),
        *ProviderFormPages(services.providers, services.defaults).pages(),
        *ProviderPages(services.providers, services.defaults, services.tests, services.last_uses).pages(),
        *ProviderTestPages(services.tests).pages(),
        *LiveModelPages(services.tests, services.providers).pages(),
        *TryPages(services.providers, services.defaults, services.models, services.gateway).pages(),
        *KeyPages(services.api_keys, services.projects, services.teams, services.defaults, services.last_uses).pages(),
        *OrganizationPages(services.projects, services.teams, services.audit).pages(),
        *StatusPages(services.read_status, services.replicas, services.metrics, services.providers.name_of).pages(),
    ]
    return Site(services.sessions, pages, sign_in.open_routes())
