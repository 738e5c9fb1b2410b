"""The routes that test a stored provider, tell of its last test, and list its models. None takes a body: an address in one is never
looked at."""

from msgspec.structs import replace
from pydantic import BaseModel, Field

from keyhouse.domain.tenancy import Permission
from keyhouse.domain.verdict import ConnectionResult, LastTest, Verdict
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.web.control.answers import ActorShape, Failure, actor_json, iso
from keyhouse.web.control.routing import Answer, Call, Operation, Route, json_answer

_PATH = "/api/model-providers/{provider}/test"
_LIVE = "/api/model-providers/{provider}/live-models"


class ConnectionTestAnswer(BaseModel):
    """What a connection test found out."""

    verdict: Verdict = Field(description="What is stored, and the provider, in one word.")
    message: str = Field(description="One sentence for people. Never the provider's own text.")
    status: int | None = Field(description="The HTTP status seen, null where none was.")


class LastTestShape(ConnectionTestAnswer):
    """The last connection test, by whom it was made, and whether what it found is still about what is stored."""

    at: str
    actor: ActorShape
    current: bool = Field(description="False where credentials, headers or models changed since.")


class LastTestAnswer(BaseModel):
    """The last connection test of a provider, null where it was never tested."""

    lastTest: LastTestShape | None


class LiveModelShape(BaseModel):
    """A model that the provider lists."""

    id: str
    known: bool = Field(description="Whether the catalogue has it: then a project need not declare it.")


class LiveModelsAnswer(ConnectionTestAnswer):
    """The models that a provider lists, where the verdict is `verified`; else none."""

    models: list[LiveModelShape]
    complete: bool = Field(description="False where the provider's list goes on.")


class ConnectionTestHandlers:
    """One method a route."""

    def __init__(self, service: ConnectionTest) -> None:
        self._service = service

    async def last(self, call: Call) -> Answer:
        """The last test."""
        test = await self._service.last_of(call.project_id, call.path["provider"])
        return json_answer({"lastTest": None if test is None else _last(test)})

    async def test(self, call: Call) -> Answer:
        """Test."""
        result, tag = await self._service.test(call.caller, call.path["provider"])
        return json_answer(_told(result), tag=tag)

    async def live_models(self, call: Call) -> Answer:
        """The provider's own list of models."""
        provider = call.path["provider"]
        listed = await self._service.models(call.caller, provider)
        known = self._service.known_models(provider)
        models = [{"id": model, "known": model in known} for model in listed.ids]
        return json_answer({**_told(listed.result), "models": models, "complete": listed.complete})


def connection_test_routes(service: ConnectionTest) -> list[Route]:
    """The routes, over their service."""
    handlers = ConnectionTestHandlers(service)
    last = "Get the last connection test of a model provider"
    test = "Test the stored credentials of a model provider with one free request, enabled or not"
    live = "Ask a model provider which models it has, with what is stored for it"
    return [
        Route("GET", _PATH, handlers.last, _operation("getApi", "Test", last, {200: LastTestAnswer}), permission=Permission.VIEW),
        Route(
            "POST",
            _PATH,
            handlers.test,
            replace(_operation("postApi", "Test", test, _asking(ConnectionTestAnswer)), tagged=True),
            permission=Permission.UPDATE,
        ),
        Route(
            "GET",
            _LIVE,
            handlers.live_models,
            _operation("getApi", "Live-models", live, _asking(LiveModelsAnswer)),
            permission=Permission.UPDATE,
        ),
    ]


def _asking(answer: type[BaseModel]) -> dict[int, type[BaseModel]]:
    return {200: answer, 400: Failure, 429: Failure}


def _operation(verb: str, what: str, summary: str, answers: dict[int, type[BaseModel]]) -> Operation:
    return Operation(f"{verb}Model-providersByProvider{what}", summary, answers, "Model providers")


def _told(result: ConnectionResult) -> dict[str, object]:
    return {"verdict": result.verdict, "message": result.message, "status": result.status}


def _last(test: LastTest) -> dict[str, object]:
    return {
        **_told(test.result),
        "at": iso(test.at),
        "actor": actor_json(test.actor),
        "current": test.is_current,
    }
