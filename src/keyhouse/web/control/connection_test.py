"""The routes that test a stored provider, and tell of its last test. Neither takes a body: an address in one is never looked at."""

import msgspec
from pydantic import BaseModel, Field

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Permission
from keyhouse.domain.verdict import LastTest, Verdict
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.web.control.answers import ActorShape, Failure, iso
from keyhouse.web.control.routing import Answer, Call, Operation, Route
from keyhouse.web.errors import STATUS, flat_envelope

_PATH = "/api/model-providers/{provider}/test"


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


def connection_test_routes(service: ConnectionTest) -> list[Route]:
    """The routes, over their service."""

    async def last(call: Call) -> Answer:
        test = await service.last_of(call.caller.project_id or "", call.path["provider"])
        return Answer(msgspec.json.encode({"lastTest": None if test is None else _last(test)}))

    async def test(call: Call) -> Answer:
        try:
            result = await service.test(call.caller, call.path["provider"])
        except Error as error:
            if error.code is not Code.TOO_MANY_REQUESTS:
                raise
            wait = str(error.details["retryAfter"]).encode()
            return Answer(flat_envelope(error), status=STATUS[error.code], headers=((b"retry-after", wait),))
        return Answer(msgspec.json.encode({"verdict": result.verdict, "message": result.message, "status": result.status}))

    return [
        Route(
            "GET",
            _PATH,
            last,
            Operation(
                "getApiModel-providersByProviderTest",
                "Get the last connection test of a model provider",
                {200: LastTestAnswer},
                "Model providers",
            ),
            permission=Permission.VIEW,
        ),
        Route(
            "POST",
            _PATH,
            test,
            Operation(
                "postApiModel-providersByProviderTest",
                "Test the stored credentials of a model provider with one free request, enabled or not",
                {200: ConnectionTestAnswer, 400: Failure, 429: Failure},
                "Model providers",
            ),
            permission=Permission.UPDATE,
        ),
    ]


def _last(test: LastTest) -> dict[str, object]:
    return {
        "verdict": test.result.verdict,
        "message": test.result.message,
        "status": test.result.status,
        "at": iso(test.at),
        "actor": {"id": test.actor.id, "name": test.actor.name},
        "current": test.is_current,
    }
