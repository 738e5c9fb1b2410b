"""What is told of requests that have ended, and what of them is held until then."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from keyhouse.gateway.answer_facts import NOTHING_READ
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.usage_reader import WholeRead
from keyhouse.gateway.wire.answer import Usage
from keyhouse.web.observing import Ended

USAGE = b'"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
SMALL, LARGE = b"{%b}" % USAGE, b'{"choices":["%b"],%b}' % (b"x" * 20_000, USAGE)


def _ended(answer: bytes = b"{}") -> Observation:
    return Observation("req_1", "POST", "/v1/chat/completions", answer=WholeRead(answer))


@pytest.mark.parametrize("keeps_answers", [True, False])
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_large_answer_is_held_only_where_somebody_looks_into_it(body: bytes, keeps_answers: bool) -> None:
    told: list[Observation] = []

    def note(ended: Sequence[Observation]) -> None:
        told.extend(ended)

    async def main() -> None:
        ended = Ended([note], keeps_answers=keeps_answers)
        observation = _ended(body)
        answer = cast(WholeRead, observation.answer)
        ended.observe(observation)
        assert not told
        assert observation.answer == (answer if keeps_answers else answer.cut() if body is SMALL else NOTHING_READ)
        ended.tell()
        assert told == [observation]
        assert observation.usage == Usage(3, 4)

    asyncio.run(main())


def test_of_requests_that_follow_fast_many_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    due: list[float] = []

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda after_s, _call: due.append(after_s))
        ended = Ended([lambda together: told.append(len(together))], keeps_answers=False)
        for _ in range(10_000):
            ended.observe(_ended())
        ended.tell()

    asyncio.run(main())
    assert sum(told) == 10_000
    assert len(due) == 1, "one timer for them all, or each would cut the requests of another short"
    assert len({*told[:-1]}) == 1
    assert max(told) >= 64
