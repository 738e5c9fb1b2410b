"""A process that read the catalogue ends well."""

import subprocess
import sys


def test_the_last_collection_has_nothing_to_walk() -> None:
    """msgspec's types crash it now and then: https://github.com/msgspec/msgspec/issues/717."""
    # What is registered first runs last.
    script = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); import keyhouse.catalog.catalog"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout == "True\n"
