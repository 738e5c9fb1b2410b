"""JSON nested as deep as can be read, and a little deeper: how deep that is differs between releases of Python."""

from collections.abc import Callable

from tests.gateway.fault_upstream import response
from tests.gateway_road import anthropic_api
from tests.gateway_road.conftest import Road
from tests.gateway_road.upstreams import json_answer


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def statuses_around_the_deepest(status_at: Callable[[int], int]) -> set[int]:
    """Of every depth from some that are answered well to some that nobody can read."""
    answered, refused = 1, 200_000
    while refused - answered > 1:
        levels = (answered + refused) // 2
        if status_at(levels) == 200:
            answered = levels
        else:
            refused = levels
    return {status_at(levels) for levels in range(answered - 25, answered + 25)}


def test_a_body_that_can_be_read_but_not_translated_is_malformed(road: Road) -> None:
    road.store_custom(customModels=["m"])
    road.answers(json_answer({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}))
    body = b'{"model":"custom/m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"tools":[{"name":"f","input_schema":%b}]}'
    assert statuses_around_the_deepest(lambda levels: road.post("/v1/messages", body % nested(levels)).status_code) == {200, 400}


def test_an_answer_that_can_be_read_but_not_translated_is_invalid(road: Road) -> None:
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address}, customModels=["m"])
    depth = [0]
    call = b'{"type":"tool_use","id":"t","name":"f","input":%b}'
    answer = b'{"type":"message","role":"assistant","content":[%b],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}'
    road.answers(lambda request: response(answer % (call % nested(depth[0])), headers=b"content-type: application/json\r\n"))

    def status_at(levels: int) -> int:
        depth[0] = levels
        return road.chat("anthropic/m").status_code

    assert statuses_around_the_deepest(status_at) == {200, 502}
