"""The settings pages, put together over the services that the API has too."""

from dataclasses import dataclass

from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.services.projects import Projects
from keyhouse.services.sessions import Sessions
from keyhouse.web.pages.provider_form import ProviderFormPages
from keyhouse.web.pages.providers import ProviderPages
from keyhouse.web.pages.sign_in import SignInPages
from keyhouse.web.pages.site import Site


@dataclass(frozen=True, slots=True)
class Services:
    """What the pages enter at."""

    sessions: Sessions
    providers: ModelProviders
    defaults: ModelDefaults
    projects: Projects


def settings_pages(services: Services) -> Site:
    """All pages as one application."""
    sign_in = SignInPages(services.sessions, services.projects)
    pages = [
        *sign_in.pages(),
        *ProviderFormPages(services.providers, services.defaults).pages(),
        *ProviderPages(services.providers, services.defaults).pages(),
    ]
    return Site(services.sessions, pages, sign_in.open_routes())
