"""The routes of the Model Providers API."""

from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.precondition import Precondition, matches_none, parse_if_match, parse_if_none_match
from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.services.model_providers import ModelProviders, Shown
from keyhouse.storage.database import Told
from keyhouse.web.control import schemas
from keyhouse.web.control.answers import HistoryAnswer, ModelProviderEntry, ModelProviderMap, RollbackBody, history_page
from keyhouse.web.control.paging import PageQuery, paging_of
from keyhouse.web.control.quick_body import quick_body
from keyhouse.web.control.routing import Again, Answer, Call, Operation, Route

_ALL = "/api/model-providers"
_ONE = "/api/model-providers/{provider}"
_TAG = "Model providers"
_WHOLE = {200: ModelProviderMap}


class ModelProviderHandlers:
    """One method a route."""

    def __init__(self, service: ModelProviders) -> None:
        self._service = service

    async def list_all(self, call: Call) -> Answer:
        """All providers of the project."""
        return _conditional(call, await self._service.list(call.project_id))

    async def get(self, call: Call) -> Answer:
        """One provider."""
        return _conditional(call, await self._service.get(call.project_id, call.path["provider"]))

    async def put(self, call: Call) -> Answer:
        """Create or update."""
        update = call.body if isinstance(call.body, ModelProviderUpdate) else schemas.to_update(call.body)
        return _tagged(await self._service.upsert(call.caller, call.path["provider"], update, _precondition(call)))

    def list_again(self, asked: Call) -> Again | None:
        """See Route.again: the list, where it is in memory."""
        if asked.header(b"if-none-match") is not None:
            return None
        remembered = self._service.remembered

        def again(caller: Caller, body: bytes, told: Told) -> bool:
            shown = remembered(caller.project_id or "")
            if shown is None:
                return False
            told(shown, None)
            return True

        return again

    def put_again(self, asked: Call) -> Again | None:
        """See Route.again: the same upsert, where its body is read at a glance."""
        spec, begin = self._service.known(asked.path["provider"]), self._service.begin_upsert
        if spec is None or asked.header(b"content-type") != "application/json":
            return None
        known, precondition = spec, _precondition(asked)

        def again(caller: Caller, body: bytes, told: Told) -> bool:
            update = quick_body(body)
            if update is None:
                return False
            begin(caller, known, update, precondition, told)
            return True

        return again

    async def delete(self, call: Call) -> Answer:
        """Delete."""
        return _tagged(await self._service.delete(call.caller, call.path["provider"], _precondition(call)))

    async def history(self, call: Call) -> Answer:
        """A page of changes."""
        paging = paging_of(call.query)
        entries, total = await self._service.history(call.project_id, call.path["provider"], paging)
        return Answer(history_page(entries, paging, total))

    async def roll_back(self, call: Call) -> Answer:
        """Back to a version."""
        return _tagged(await self._service.roll_back(call.caller, call.path["provider"], call.body.version, _precondition(call)))


def model_provider_routes(service: ModelProviders) -> list[Route]:
    """Every route of the Model Providers API, over one service."""
    handlers = ModelProviderHandlers(service)
    return [*_reading(handlers), *_writing(handlers)]


def _reading(handlers: ModelProviderHandlers) -> list[Route]:
    return [
        Route(
            "GET",
            _ALL,
            handlers.list_all,
            Operation("getApiModel-providers", "List all model providers of the project", _WHOLE, _TAG, conditional=True),
            permission=Permission.VIEW,
            again=handlers.list_again,
        ),
        Route(
            "GET",
            _ONE,
            handlers.get,
            Operation("getApiModel-providersByProvider", "Get one model provider", {200: ModelProviderEntry}, _TAG, conditional=True),
            permission=Permission.VIEW,
        ),
        Route(
            "GET",
            f"{_ONE}/history",
            handlers.history,
            Operation(
                "getApiModel-providersByProviderHistory",
                "List the changes of a model provider, newest first",
                {200: HistoryAnswer},
                _TAG,
                query=PageQuery,
            ),
            permission=Permission.VIEW,
        ),
    ]


def _writing(handlers: ModelProviderHandlers) -> list[Route]:
    return [
        Route(
            "PUT",
            _ONE,
            handlers.put,
            # The contract's operation has no tag.
            Operation("putApiModel-providersByProvider", "Create or update a model provider", _WHOLE, tag="", conditional=True),
            permission=Permission.UPDATE,
            body=schemas.ModelProviderBody,
            quick_body=quick_body,
            problems=schemas.problems,
            again=handlers.put_again,
        ),
        Route(
            "DELETE",
            _ONE,
            handlers.delete,
            Operation(
                "deleteApiModel-providersByProvider",
                "Delete a model provider and destroy its secrets, those in its history as well",
                _WHOLE,
                _TAG,
                conditional=True,
            ),
            permission=Permission.UPDATE,
        ),
        Route(
            "POST",
            f"{_ONE}/rollback",
            handlers.roll_back,
            Operation(
                "postApiModel-providersByProviderRollback",
                "Bring back the state of a model provider after one of its changes, secrets included",
                _WHOLE,
                _TAG,
                conditional=True,
            ),
            permission=Permission.UPDATE,
            body=RollbackBody,
        ),
    ]


def _tagged(shown: Shown) -> Answer:
    return Answer(shown.body, tag=shown.tag)


def _conditional(call: Call, shown: Shown) -> Answer:
    named = call.header(b"if-none-match")
    if named is not None and matches_none(named, shown.tag):
        return Answer(b"", status=304, tag=shown.tag)
    return _tagged(shown)


def _precondition(call: Call) -> Precondition | None:
    named, excluded = call.header(b"if-match"), call.header(b"if-none-match")
    if named is not None:
        return parse_if_match(named)
    return None if excluded is None else parse_if_none_match(excluded)
