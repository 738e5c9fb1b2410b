"""A large body that must be translated keeps nobody else waiting: the event loop goes on turning meanwhile."""

import asyncio
import json

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.target import Target
from keyhouse.gateway.call import Call
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.relay import LARGE_BYTES, Relay
from keyhouse.gateway.signing import Signatures
from keyhouse.gateway.upstream import Upstream
from keyhouse.gateway.wire.splice import parse_head
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, answering, response

NOBODY = "http://127.0.0.1:9/v1/chat/completions"
# While it is translated in a thread the loop turns some thousands of times, else a dozen times.
TURNS = 200


def messages_call(url: str, count: int, text: str = "What is it?") -> Call:
    """A call in Anthropic's format, of a provider that speaks OpenAI's."""
    said = [{"role": ("user", "assistant")[number % 2], "content": text} for number in range(count)]
    body = json.dumps({"model": "m", "max_tokens": 10, "messages": said}).encode()
    return Call("messages", Target("p", "m", "m", "messages", "openai_chat", url, url), body, parse_head(body), [], 0, "req_1")


def observed() -> Observation:
    return Observation("req_1", "POST", "/v1/messages", started_at=0)


def test_a_large_request_is_translated_beside_the_event_loop(run: Run) -> None:
    async def main() -> None:
        upstream = Upstream()
        answer = asyncio.ensure_future(Relay(upstream, Signatures(upstream)).answer(messages_call(NOBODY, 40_000), observed()))
        turns = 0
        while not answer.done():
            await asyncio.sleep(0)
            turns += 1
        failure = answer.exception()
        assert isinstance(failure, Error)
        assert failure.code is Code.UPSTREAM_UNREACHABLE
        assert turns > TURNS
        await upstream.close()

    run(main())


@pytest.mark.parametrize("size", [LARGE_BYTES // 2, 2 * LARGE_BYTES])
def test_an_answer_of_any_size_is_translated(run: Run, size: int) -> None:
    said = "a" * size

    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()

    async def main() -> None:
        upstream = Upstream()
        async with FaultUpstream(answering(response(body, headers=b"content-type: application/json\r\n"))) as running:
            relay = Relay(upstream, Signatures(upstream))
            answer = await relay.answer(messages_call(f"http://127.0.0.1:{running.port}/v1/chat/completions", 1, said), observed())
            assert isinstance(answer.body, bytes)
            assert json.loads(answer.body)["content"] == [{"type": "text", "text": said}]
            await upstream.close()

    run(main())
