"""The routes of the Model Providers API."""

from keyhouse.domain.precondition import Precondition, matches_none, parse_if_match
from keyhouse.domain.tenancy import Permission
from keyhouse.services.model_providers import ModelProviders, Shown
from keyhouse.web.control import schemas
from keyhouse.web.control.answers import HistoryAnswer, ModelProviderEntry, ModelProviderMap, RollbackBody, history_page
from keyhouse.web.control.paging import PageQuery, page_of
from keyhouse.web.control.routing import Answer, Call, Operation, Route

_ALL = "/api/model-providers"
_ONE = "/api/model-providers/{provider}"
_TAG = "Model providers"


def model_provider_routes(service: ModelProviders) -> list[Route]:
    """Every route of the Model Providers API, over one service."""

    async def list_all(call: Call) -> Answer:
        return _conditional(call, await service.list(call.caller.project_id or ""))

    async def get(call: Call) -> Answer:
        return _conditional(call, await service.get(call.caller.project_id or "", call.path["provider"]))

    async def put(call: Call) -> Answer:
        return _tagged(await service.upsert(call.caller, call.path["provider"], schemas.to_update(call.body), _precondition(call)))

    async def delete(call: Call) -> Answer:
        return _tagged(await service.delete(call.caller, call.path["provider"], _precondition(call)))

    async def history(call: Call) -> Answer:
        page = page_of(call.query)
        entries, total = await service.history(call.caller.project_id or "", call.path["provider"], page=page.page, limit=page.limit)
        return Answer(history_page(entries, page, total))

    async def rollback(call: Call) -> Answer:
        return _tagged(await service.roll_back(call.caller, call.path["provider"], call.body.version, _precondition(call)))

    view, update = Permission.VIEW, Permission.UPDATE
    whole, one = {200: ModelProviderMap}, {200: ModelProviderEntry}
    return [
        Route(
            "GET",
            _ALL,
            list_all,
            Operation("getApiModel-providers", "List all model providers of the project", whole, _TAG, conditional=True),
            permission=view,
        ),
        Route(
            "PUT",
            _ONE,
            put,
            Operation("putApiModel-providersByProvider", "Create or update a model provider", whole, _TAG, conditional=True),
            permission=update,
            body=schemas.ModelProviderBody,
            problems=schemas.problems,
        ),
        Route(
            "GET",
            _ONE,
            get,
            Operation("getApiModel-providersByProvider", "Get one model provider", one, _TAG, conditional=True),
            permission=view,
        ),
        Route(
            "DELETE",
            _ONE,
            delete,
            Operation(
                "deleteApiModel-providersByProvider",
                "Delete a model provider and destroy its secrets, those in its history as well",
                whole,
                _TAG,
                conditional=True,
            ),
            permission=update,
        ),
        Route(
            "GET",
            f"{_ONE}/history",
            history,
            Operation(
                "getApiModel-providersByProviderHistory",
                "List the changes of a model provider, newest first",
                {200: HistoryAnswer},
                _TAG,
                query=PageQuery,
            ),
            permission=view,
        ),
        Route(
            "POST",
            f"{_ONE}/rollback",
            rollback,
            Operation(
                "postApiModel-providersByProviderRollback",
                "Bring back the state of a model provider after one of its changes, secrets included",
                whole,
                _TAG,
                conditional=True,
            ),
            permission=update,
            body=RollbackBody,
        ),
    ]


def _tagged(shown: Shown) -> Answer:
    return Answer(shown.body, headers=((b"etag", shown.tag.encode()),))


def _conditional(call: Call, shown: Shown) -> Answer:
    named = call.header(b"if-none-match")
    if named is not None and matches_none(named, shown.tag):
        return Answer(b"", status=304, headers=((b"etag", shown.tag.encode()),))
    return _tagged(shown)


def _precondition(call: Call) -> Precondition | None:
    named = call.header(b"if-match")
    return None if named is None else parse_if_match(named)
