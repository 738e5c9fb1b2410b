"""The route that tests a stored provider. It takes no body: an address in one is never looked at."""

import msgspec
from pydantic import BaseModel, Field

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Permission
from keyhouse.domain.verdict import Verdict
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.web.control.answers import Failure
from keyhouse.web.control.routing import Answer, Call, Operation, Route
from keyhouse.web.errors import STATUS, flat_envelope


class ConnectionTestAnswer(BaseModel):
    """What a connection test found out."""

    verdict: Verdict = Field(description="What is stored, and the provider, in one word.")
    message: str = Field(description="One sentence for people. Never the provider's own text.")
    status: int | None = Field(description="The HTTP status seen, null where none was.")


def connection_test_routes(service: ConnectionTest) -> list[Route]:
    """The route, over its service."""

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
            "POST",
            "/api/model-providers/{provider}/test",
            test,
            Operation(
                "postApiModel-providersByProviderTest",
                "Test the stored credentials of a model provider with one free request, enabled or not",
                {200: ConnectionTestAnswer, 400: Failure, 429: Failure},
                "Model providers",
            ),
            permission=Permission.UPDATE,
        )
    ]
