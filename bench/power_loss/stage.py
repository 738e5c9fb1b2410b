"""What is played while strace looks: a first start, callers, new keys, a crash, backups and a restore."""

import asyncio
import random
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.chaos.client import Answer, UnansweredError, ask
from bench.power_loss.ledger import Answers, Ledger
from bench.power_loss.plan import HERE, PATH, RESTORED, Lane
from bench.power_loss.trace import TraceError
from bench.power_loss.traced import KEYHOUSE, Job, Traced, traced
from keyhouse.storage.key_file import read_key_file
from keyhouse.storage.key_ring import KeyRing, key_ring_text, new_key

DATA, BACKUPS = "data", "backups"
"""The folders on the disk: the house, and its backups."""
BY_HAND, RESTORING = "key-by-hand-", "restore"
"""What people do is named so: the former ends with the id of the key."""
_REPLACE = """
printf %s "$2" > "$1.new"
chmod 600 "$1.new"
mv "$1.new" "$1"
"""
_RESTORE = """
mkdir "$1/before" && mv "$1/keyhouse.db" "$1/before/"
cp "$2" "$1/keyhouse.db"
chmod 600 "$1/keyhouse.db" "$1/keyring"
sync
"""
ACTS = ("first start", "new keys", "key by hand", "restart", "crash", "fill log", "new keys unserved", "backup and restore")
_LARGE = "fill log"
"""The act whose secrets are large ones."""
_TRIES = 5


@dataclass(frozen=True)
class Order:
    """What is to be played. The seed draws all changes."""

    seed: int
    workers: int
    steps: int = 12
    """Changes of each provider at a time."""
    large: int = 48
    acts: tuple[str, ...] = ACTS
    """Those that are played; the first start is always one."""


@dataclass(frozen=True)
class Played:
    """What was played, and the revision by which each change was answered."""

    order: Order
    answers: Answers


def drawn(order: Order) -> dict[str, Lane]:
    """The changes of each provider: the same ones for the same order."""
    lanes = {}
    for provider in (*HERE, *RESTORED):
        dice = random.Random(f"{order.seed}/{provider}")
        lane = lanes[provider] = Lane(provider)
        for act in order.acts:
            for _ in range(order.large if act == _LARGE else order.steps):
                lane.add(dice, large=act == _LARGE)
    return lanes


class Stage:
    """The disk's folder, the processes, and the callers of one run."""

    def __init__(self, folder: Path, order: Order, processes: Traced) -> None:
        self._disk = folder / "disk"
        self._ring = self._disk / DATA / "keyring"
        self._order = order
        self._processes = processes
        self._lanes = drawn(order)
        self._key = ""
        self.answers: dict[int, tuple[str, int]] = {}
        self._server: Job

    async def play(self) -> None:
        """All of it, in order."""
        does = {name: getattr(self, f"_{name.replace(' ', '_')}") for name in ACTS}
        for name in self._order.acts:
            print(f"  {name}", file=sys.stderr, flush=True)
            await does[name]()
        if not self._server.ended.done():
            await self._processes.stop(self._server)

    async def _serve(self, name: str) -> None:
        self._server = await self._processes.serve(name, self._disk / DATA, self._order.workers)

    async def _command(self, name: str, *arguments: str) -> None:
        await self._processes.must(name, [*KEYHOUSE, *arguments], {"KEYHOUSE_DATA_DIR": str(self._disk / DATA)})

    async def _first_start(self) -> None:
        await self._serve("serve-first")
        shown = Ledger(Path(), {}, said={"": self._processes.said("serve-first")}).first_keys
        if shown is None:
            raise TraceError("The first start showed no keys.")
        self._key = shown[0]
        await self._change(HERE, self._order.steps)

    async def _new_keys(self) -> None:
        await asyncio.gather(self._change(HERE, self._order.steps), self._replace_keys())

    async def _key_by_hand(self) -> None:
        await asyncio.gather(self._change(HERE, self._order.steps), self._replace_by_hand())

    async def _replace_by_hand(self) -> None:
        """As `docs/encryption-keys.md` says of several machines. What a shell writes is synced by nobody."""
        old, (key_id, key) = read_key_file(self._ring), new_key()
        first = old.with_first(key_id, key)
        last = KeyRing({each: first.key(each) or b"" for each in (*old.ids, key_id)}, old.where)
        for ring in (last, first):
            await self._shell(f"{BY_HAND}{key_id}", _REPLACE, str(self._ring), key_ring_text(ring))
        await self._replace_keys(old.ids)

    async def _replace_keys(self, old: Sequence[str] = ()) -> None:
        """Rotate and retire, as often as it takes: a key that callers have just used again cannot be retired."""
        old = old or read_key_file(self._ring).ids
        for attempt in range(_TRIES):
            await self._command(f"rotate-{old[0]}-{attempt}", "keys", "rotate")
            for key in old:
                arguments = [*KEYHOUSE, "keys", "retire", key, "--yes"]
                if await self._processes.run(f"retire-{key}", arguments, {"KEYHOUSE_DATA_DIR": str(self._disk / DATA)}):
                    break
            else:
                return
        raise TraceError("No key could be retired.")

    async def _restart(self) -> None:
        await self._processes.stop(self._server)
        await self._serve("serve-again")
        await self._change(HERE, self._order.steps)

    async def _crash(self) -> None:
        changing = asyncio.create_task(self._change(HERE, self._order.steps))
        while not any(lane.sent % self._order.steps > self._order.steps // 3 for lane in self._lanes.values()):
            await asyncio.sleep(0)
        await self._processes.stop(self._server, signal.SIGKILL)
        await self._serve("serve-after-crash")
        await changing

    async def _fill_log(self) -> None:
        """Until SQLite writes it back by itself and begins it anew."""
        await self._change(HERE, self._order.large)

    async def _new_keys_unserved(self) -> None:
        await self._processes.stop(self._server)
        await self._replace_keys()
        await self._serve("serve-new-keys")

    async def _backup_and_restore(self) -> None:
        await self._back_up()
        await self._restore()

    async def _back_up(self) -> None:
        await self._shell("make-backups", 'mkdir "$1" && sync', str(self._disk / BACKUPS))
        while_served = f"sqlite:///{self._disk / BACKUPS / 'copy-while-changed.db'}"
        copying = self._command("copy-while-changed", "database", "copy", "--while-serving", while_served)
        await asyncio.gather(self._change(HERE, self._order.steps), copying)
        await self._command("copy-quiet", "database", "copy", "--while-serving", f"sqlite:///{self._disk / BACKUPS / 'copy-quiet.db'}")
        await self._processes.stop(self._server)

    async def _restore(self) -> None:
        """As `docs/database.md` says, from the copy that was made while nothing changed."""
        await self._shell(RESTORING, _RESTORE, str(self._disk / DATA), str(self._disk / BACKUPS / "copy-quiet.db"))
        await self._serve("serve-restored")
        await self._change(RESTORED, self._order.steps)

    async def _shell(self, name: str, script: str, *arguments: str) -> None:
        await self._processes.must(name, ["sh", "-ec", script, "sh", *arguments])

    async def _change(self, providers: Iterable[str], steps: int) -> None:
        """So many changes of each provider, one after the other; all providers at once."""
        await asyncio.gather(*(self._change_one(self._lanes[provider], steps) for provider in providers))

    async def _change_one(self, lane: Lane, steps: int) -> None:
        for _ in range(steps):
            while not await self._is_made(lane):
                pass
            lane.sent += 1

    async def _is_made(self, lane: Lane) -> bool:
        """Send the next change; or again, after a crash that left no answer, if it was not made."""
        step = lane.steps[lane.sent]
        try:
            answer = await self._ask(step.method, step.path, step.body)
        except UnansweredError:
            return await self._versions(lane) > lane.sent
        if answer.status != 200:
            raise TraceError(f"{step.method} {step.path} was answered {answer.status}: {answer.body.decode()[:300]}")
        self.answers[answer.revision] = (lane.provider, lane.sent + 1)
        return True

    async def _versions(self, lane: Lane) -> int:
        """How many changes there are, as soon as somebody serves again."""
        while True:
            try:
                answer = await self._ask("GET", f"{PATH}/{lane.provider}/history?limit=1", None)
            except UnansweredError:
                await asyncio.sleep(0.1)
                continue
            return int(answer.json["pagination"]["total"])

    async def _ask(self, method: str, path: str, body: object) -> Answer:
        return await ask(self._server.port, method, path, {"x-auth-token": self._key}, body)


async def played(folder: Path, order: Order) -> None:
    """Play it all in a new folder: `disk` is what processes wrote, `said` what they told people, `trace` what strace saw."""
    for name in ("disk", "said"):
        (folder / name).mkdir()
    async with traced(folder / "trace", folder / "said") as processes:
        stage = Stage(folder, order, processes)
        await stage.play()
    (folder / "played.json").write_bytes(msgspec.json.encode(Played(order, stage.answers)))


def was_played(folder: Path) -> Played:
    """What is to be known of a run beside its trace."""
    return msgspec.json.decode((folder / "played.json").read_bytes(), type=Played)
