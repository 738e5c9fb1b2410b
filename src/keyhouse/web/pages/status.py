"""The state of the installation: database and encryption keys, the processes that serve, and what went through this server lately."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from keyhouse.services.encryption_keys import KeysStatus
from keyhouse.services.metrics.metrics import ADDED_BOUNDS_S, Metrics
from keyhouse.services.replicas import Replicas
from keyhouse.services.rights import require_organization_admin
from keyhouse.web.pages.charts import HEIGHT, WIDTH, hour_charts, hour_rows
from keyhouse.web.pages.rendering import page
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit

_HERE = "/organization/status"
_KEPT_S = 30.0
ReadStatus = Callable[[], Awaitable[KeysStatus]]


class StatusPages:
    """See the module. `read_status` opens every sealed value, so what it says is kept for a while. For organization admins alone."""

    def __init__(self, read_status: ReadStatus, replicas: Replicas, metrics: Metrics, name_of: Callable[[str], str]) -> None:
        self._read_status = read_status
        self._replicas = replicas
        self._metrics = metrics
        self._name_of = name_of
        self._status: tuple[float, KeysStatus] | None = None

    def pages(self) -> list[Page]:
        """Every address."""
        return [Page("GET", _HERE, self.show), Page("GET", f"{_HERE}/now", self.show_now)]

    async def show(self, visit: Visit) -> Response:
        """All of it."""
        require_organization_admin(visit.caller)
        now = time.monotonic()
        if self._status is None or now - self._status[0] > _KEPT_S:
            self._status = (now, await self._read_status())
        return page(visit, "status.html", status_now=self._status[1], **await self._now())

    async def show_now(self, visit: Visit) -> Response:
        """The part that goes on changing."""
        require_organization_admin(visit.caller)
        return page(visit, "status_now.html", **await self._now())

    async def _now(self) -> dict[str, Any]:
        hour = self._metrics.last_hour()
        replicas = await self._replicas.list()
        return {
            "replicas": replicas,
            "versions": {replica.version for replica in replicas},
            "quiet": not any(hour.requests),
            "charts": hour_charts(hour, ADDED_BOUNDS_S, self._name_of),
            "rows": hour_rows(hour, ADDED_BOUNDS_S),
            "box": f"0 0 {WIDTH} {HEIGHT}",
        }
