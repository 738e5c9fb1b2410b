"""How long a connection waits while it sends a request, without a network that is slow at the right moment."""

import asyncio
import math

from tests.gateway.test_pool import Places


def test_a_caller_that_is_slow_after_the_upstream_was_is_waited_for() -> None:
    async def scenario() -> None:
        places = Places()
        connection = await places.take()
        connection.pause_writing()
        sending = asyncio.create_task(connection.send(b"a piece"))
        await asyncio.sleep(0)
        assert not sending.done()
        assert connection.deadline < math.inf
        connection.resume_writing()
        await sending
        assert connection.deadline == math.inf
        places.close()

    asyncio.run(scenario())
