"""The test button of a provider: asks the provider once, and shows the verdict where the last one stood."""

from starlette.responses import Response

from keyhouse.domain.errors import Code, Error
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.web.errors import STATUS
from keyhouse.web.pages.rendering import moved, page
from keyhouse.web.pages.rights import require_update
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit

REFUSALS = frozenset({Code.TOO_MANY_REQUESTS, Code.CREDENTIALS_UNREADABLE})
"""Why a provider is not asked, for the page to tell where the answer would stand."""


class ProviderTestPages:
    """See the module."""

    def __init__(self, tests: ConnectionTest) -> None:
        self._tests = tests

    def pages(self) -> list[Page]:
        """The one address."""
        return [Page("POST", "/projects/{project}/providers/{provider}/test", self.test)]

    async def test(self, visit: Visit) -> Response:
        """Test what is stored, and show what was found, or why nothing was asked."""
        require_update(visit)
        provider, problem, status = visit.path["provider"], "", 200
        try:
            await self._tests.test(visit.caller, provider)
        except Error as error:
            if not (visit.is_fragment and error.code in REFUSALS):
                raise
            problem, status = error.message, STATUS[error.code]
        if not visit.is_fragment:
            return moved(visit.request, f"/projects/{visit.project_id}/providers")
        last = await self._tests.last_of(visit.project_id, provider)
        return page(visit, "provider_test.html", status, tested=last, problem=problem, asked=True)
