"""What is killed: processes that write, rotate and retire without end, and say what was acknowledged. Run as a module, it makes them.

One process imports everything once, then forks a victim for each line on its standard input, so that a round costs little.
A victim writes lines to the Unix socket that its order names.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keyhouse.domain.errors import Error
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.services import key_rotation
from keyhouse.services.encryption_keys import retire
from keyhouse.services.first_start import furnish
from keyhouse.services.key_rotation import rotate
from keyhouse.services.upkeep import look_at_keys
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from tests.storage.houses import catalog_and_encoder, opened, project_caller, providers_of, settings_of

LANES = {"groq": "GROQ_API_KEY", "xai": "XAI_API_KEY", "deepseek": "DEEPSEEK_API_KEY", "voyage": "VOYAGE_API_KEY"}
"""Providers that are written at the same time, and the field that is."""
_CALLS = frozenset(("execute", "open", "write", "fsync", "replace", "unlink", "chmod", "flock"))

Say = Callable[[str], None]


def secret_at(provider: str, sequence: int) -> str | None:
    """What a lane holds after so many changes; None: it was deleted, or never written."""
    return None if sequence % 6 in (0, 5) and (sequence == 0 or sequence % 6 == 5) else f"sk-{provider}-{sequence}"


async def write(settings: Settings, say: Say, sequences: dict[str, int]) -> None:
    """Change every lane again and again."""
    async with opened(settings) as storage:
        caller, providers = await project_caller(storage), providers_of(storage)

        async def lane(provider: str, field: str) -> None:
            sequence = sequences[provider]
            while True:
                sequence += 1
                secret = secret_at(provider, sequence)
                await look_at_keys(storage)
                if secret is None:
                    await providers.delete(caller, provider, None)
                else:
                    await providers.upsert(caller, provider, ModelProviderUpdate(True, {field: secret}), None)
                say(f"{provider} {sequence}")

        await asyncio.gather(*(lane(provider, field) for provider, field in LANES.items()))


async def replace_keys(settings: Settings, say: Say, _: dict[str, int]) -> None:
    """Rotate, retire what is not needed any more, and again."""
    key_rotation._BATCH = 4  # many transactions, of few values each
    async with opened(settings) as storage:
        while True:
            await replace_keys_once(storage, say)


async def replace_keys_once(storage: Storage, say: Say) -> None:
    async for progress in rotate(storage, settle_s=0):
        say(f"rotated {progress.done}")
    for key_id in storage.box.ring.ids[1:]:
        try:
            await retire(storage, key_id)
        except Error:
            say("busy")
        else:
            say("retired")


async def start(settings: Settings, say: Say, _: dict[str, int]) -> None:
    """A first start."""
    async with opened(settings) as storage:
        made = await furnish(storage)
    say("made" if made else "found")


async def replace_keys_to_the_end(settings: Settings, say: Say, _: dict[str, int]) -> None:
    """One rotation and the retirement after it."""
    key_rotation._BATCH = 4
    async with opened(settings) as storage:
        await replace_keys_once(storage, say)
    say("replaced")


TASKS = {task.__name__: task for task in (write, replace_keys, start, replace_keys_to_the_end)}


def die_at(call: int) -> None:
    """Kill this process when it makes its n-th call that reaches a file or the database, in whichever thread."""
    left = [call]

    def count(_frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in _CALLS and called.__self__.__class__ is not str:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)


def be_victim(order: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(order["socket"])
        settings = settings_of(Path(order["folder"]), order["database_url"])
        if order["die_at"] is not None:
            die_at(order["die_at"])
        asyncio.run(TASKS[order["task"]](settings, lambda line: connection.sendall(f"{line}\n".encode()), order["sequences"]))


def main() -> None:
    """Everything that a victim needs is there before it is born."""
    import alembic.command
    import alembic.config  # noqa: F401

    catalog_and_encoder()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                be_victim(json.loads(line))
            except Error as error:
                sys.stderr.write(f"{error.code}: {error.message}\n")
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
