"""The provider's own list of models, to pick custom models from: asked for when somebody wants it, with what is stored."""

from starlette.responses import Response

from keyhouse.domain.errors import Error
from keyhouse.domain.verdict import Verdict
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.services.model_providers import ModelProviders
from keyhouse.web.errors import STATUS
from keyhouse.web.pages.provider_test import REFUSALS
from keyhouse.web.pages.rendering import page
from keyhouse.web.pages.rights import require_update
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit, require_same_site

_EMBEDDING = "embed"
"""What the ids of embedding models have in common: a guess that a person sees and can put right."""


class LiveModelPages:
    """See the module."""

    def __init__(self, tests: ConnectionTest, providers: ModelProviders) -> None:
        self._tests = tests
        self._providers = providers

    def pages(self) -> list[Page]:
        """The one address."""
        return [Page("GET", "/projects/{project}/providers/{provider}/live-models", self.show)]

    async def show(self, visit: Visit) -> Response:
        """The list, or why there is none. It asks the provider and counts, so no other site may have it asked for."""
        require_same_site(visit.request)
        require_update(visit)
        provider = visit.path["provider"]
        try:
            listed = await self._tests.models(visit.caller, provider)
        except Error as error:
            if error.code not in REFUSALS:
                raise
            return page(visit, "live_models.html", STATUS[error.code], problem=error.message, models=[], complete=True)
        known, ends = self._tests.known_models(provider), self._providers.ends(provider)
        models = [(name, name in known, ends.get(name), "embeddings" if _EMBEDDING in name.lower() else "models") for name in listed.ids]
        problem = "" if listed.result.verdict is Verdict.VERIFIED else listed.result.message
        return page(visit, "live_models.html", problem=problem, models=models, complete=listed.complete)
