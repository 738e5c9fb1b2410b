"""Who gets into a full process, and who is asked to leave. With real connections: tests/cli/test_crowd.py."""

import asyncio
import subprocess
import sys

import pytest

from keyhouse.web.http_crowd import Crowd


class Waiting:
    """A connection that waits until `deadline`."""

    is_idle = True

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_expired = False

    def expire(self) -> None:
        self.is_expired = True


class Answered(Waiting):
    """A connection that is being answered."""

    is_idle = False


def test_who_finds_no_room_is_watched_all_the_same_until_it_leaves() -> None:
    async def scenario() -> None:
        crowd, answered, late = Crowd(1), Answered(100.0), Waiting(200.0)
        assert crowd.enter(answered)
        assert not crowd.enter(late)
        assert set(crowd.deadlines.watched()) == {answered, late}
        assert not answered.is_expired
        crowd.leave(late)
        assert crowd.deadlines.watched() == [answered]

    asyncio.run(scenario())


def test_who_found_no_room_takes_none() -> None:
    async def scenario() -> None:
        crowd, answered = Crowd(1), Answered(100.0)
        crowd.enter(answered)
        crowd.enter(Waiting(200.0))
        crowd.leave(answered)
        assert crowd.enter(Waiting(300.0))

    asyncio.run(scenario())


@pytest.mark.parametrize(("most", "leave"), [(1, 1), (15, 1), (16, 1), (32, 2)])
def test_those_who_wait_longest_make_room_some_at_a_time(most: int, leave: int) -> None:
    async def scenario() -> None:
        crowd = Crowd(most)
        present = [Waiting(float(deadline)) for deadline in range(most, 0, -1)]
        assert all(crowd.enter(connection) for connection in present)
        assert not any(connection.is_expired for connection in present)
        assert crowd.enter(Answered(0.0))
        assert [connection.deadline for connection in present if connection.is_expired] == [float(left) for left in range(leave, 0, -1)]

    asyncio.run(scenario())


@pytest.mark.parametrize(("files", "connections"), [(64, 1), (66, 1), (68, 2), (70, 3)])
def test_how_many_there_may_be_follows_from_the_limit_of_open_files(files: int, connections: int) -> None:
    program = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))\n"
    program += "from keyhouse.web.http_crowd import most_connections\nprint(most_connections())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == f"{connections}\n"
