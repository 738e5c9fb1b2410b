"""What is told of requests that have ended, and what of them is held until then."""

import asyncio
from collections.abc import Sequence

import pytest

from keyhouse.gateway.answer_facts import NOTHING_READ
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.usage_reader import WholeRead
from keyhouse.web.observing import Ended


@pytest.mark.parametrize("keeps_answers", [True, False])
def test_an_answer_is_held_only_where_somebody_looks_into_it(keeps_answers: bool) -> None:
    told: list[Observation] = []
    answer = WholeRead(b"{}")

    def note(ended: Sequence[Observation]) -> None:
        told.extend(ended)

    async def main() -> None:
        ended = Ended([note], keeps_answers=keeps_answers)
        observation = Observation("req_1", "POST", "/v1/chat/completions", answer=answer)
        ended.observe(observation)
        assert not told
        assert observation.answer is (answer if keeps_answers else NOTHING_READ)
        ended.tell()
        assert told == [observation]

    asyncio.run(main())
