"""Lines of the log are written while a test runs, so that they are caught as its own: between tests they would stand among pytest's."""

from collections.abc import Generator

import pytest

from keyhouse.log import WRITER

# A house on a thread writes lines shortly after its answers. It waits here for as long as pytest catches nothing.
_HELD_BACK = WRITER._lock


class CaughtLines:
    """A plugin of pytest. Each of its wrappers lies inside the one that catches."""

    def __init__(self) -> None:
        _HELD_BACK.acquire()

    def pytest_unconfigure(self) -> None:
        _HELD_BACK.release()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        return (yield from _let_go())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        return (yield from _let_go())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        return (yield from _let_go())


def _let_go() -> Generator[None, object, object]:
    _HELD_BACK.release()
    try:
        return (yield)
    finally:
        _HELD_BACK.acquire()
