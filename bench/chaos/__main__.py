"""Is anything ever lost? `uv run python -m bench.chaos --database sqlite --minutes 15`: random steps on real servers, killed on the way.

Several `keyhouse serve` share one database. Callers write and read, keys are rotated, retired, lost and found, databases copied, moved and
restored, the disk fills up, and servers, commands and PostgreSQL are killed at random. A model says what must hold; what does not ends the
round. Each round has a seed, which draws its steps, delays and bodies: `--seed N --rounds 1` goes the same way again, though who wins a
race is not drawn. The exit code is 0 where nothing was found. Writes chaos-DATABASE.json.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.chaos.api_keys import change_keys
from bench.chaos.bursts import burst
from bench.chaos.checks import checkpoint, complaints
from bench.chaos.house import ADMIN_KEY, FoundError, House
from bench.chaos.model import KINDS, Lane
from bench.chaos.moves import SMALL_DISK_MB, back_up, full_disk, lost_ring, move, prune, restore
from bench.chaos.postgres import ChaosPostgres
from bench.chaos.rings import add_by_hand, replace, retire, rotate, spoilt_ring, wrong_ring
from bench.chaos.upstream import Upstream
from bench.chaos.writes import Chaos
from bench.serving import machine, save
from keyhouse.app import opened_storage
from keyhouse.services.first_start import furnish

Step = Callable[[Chaos, random.Random], Awaitable[str]]
_CHECK_EVERY = 6
STEPS: Mapping[str, tuple[Step, int]] = {
    "burst": (burst, 40),
    "rotate": (rotate, 8),
    "retire": (retire, 4),
    "replace keys": (replace, 4),
    "add a key by hand": (add_by_hand, 2),
    "wrong ring": (wrong_ring, 3),
    "spoilt ring": (spoilt_ring, 2),
    "lost ring": (lost_ring, 2),
    "API keys": (change_keys, 8),
    "backup": (back_up, 4),
    "restore": (restore, 2),
    "move": (move, 2),
    "prune": (prune, 1),
    "full disk": (full_disk, 4),
}
"""What can be done, and how often it is among the others."""


@dataclass
class Round:
    """What came of a seed."""

    seed: int
    steps: list[str] = field(default_factory=list)
    kills: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    found: str | None = None


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own in memory, if that is allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m,mode=0700", "keyhouse-chaos", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@asynccontextmanager
async def chaos_in(folder: Path, postgres: ChaosPostgres | None) -> AsyncIterator[Chaos]:
    """A house of two projects, served."""
    upstream, house = Upstream(), House(folder, postgres, workers=(1, 2, 1))
    await upstream.start()
    chaos = Chaos(house, upstream)
    try:
        await _furnish(chaos)
        yield chaos
    finally:
        house.end()
        await upstream.stop()


async def _furnish(chaos: Chaos) -> None:
    house = chaos.house
    async with opened_storage(house.settings) as storage:
        first = await furnish(storage)
    assert first is not None
    await house.start_all()
    chaos.admin_key = first.admin_key
    server = house.servers[0]
    for name in ("Second", "Third"):
        body = {"name": name, "language": "other", "framework": "other", "newTeamName": name}
        made = (await house.ask(server, "POST", "/api/projects", chaos.admin_key, body)).json
        key = (await house.ask(server, "GET", f"/api/projects/{made['id']}/api-key", chaos.admin_key)).json["apiKey"]
        chaos.project_ids.append(made["id"])
        chaos.project_keys.append(key)
        chaos.tokens.add(made["serviceApiKey"])
    chaos.floors = [0] * len(chaos.project_ids)
    chaos.tokens |= {chaos.admin_key, ADMIN_KEY, *chaos.project_keys}
    chaos.lanes = [Lane(project, provider) for project in range(2) for provider in KINDS]


@dataclass(frozen=True)
class Order:
    """What a round is to be: so many steps of these kinds, or fewer where the time is over."""

    steps: int
    names: Sequence[str]
    until: float


async def play(done: Round, order: Order, chaos: Chaos) -> None:
    """Step after step, until something is found."""
    names, weights = order.names, [STEPS[name][1] for name in order.names]
    for number in range(order.steps):
        dice = random.Random(f"{done.seed}/{number}")
        [name] = dice.choices(names, weights)
        done.steps.append(f"{name} ...")
        began = time.monotonic()
        told = await STEPS[name][0](chaos, dice)
        done.steps[-1] = f"{name}: {told} ({time.monotonic() - began:.1f} s)"
        chaos.counts[f"step: {name}"] += 1
        print(f"{done.seed} {number:3} {done.steps[-1]}", file=sys.stderr)
        if number % _CHECK_EVERY == _CHECK_EVERY - 1:
            await checkpoint(chaos)
        if time.monotonic() > order.until:
            break
    await checkpoint(chaos)
    chaos.house.stop_all()
    if lines := complaints(chaos.house.logs):
        raise FoundError(f"{len(lines)} complaints in the logs: {lines[:5]}")


async def played(done: Round, order: Order, folder: Path, postgres: ChaosPostgres | None) -> None:
    """One round in a new folder."""
    async with chaos_in(folder, postgres) as chaos:
        try:
            await play(done, order, chaos)
        except* FoundError as group:
            done.found = re.sub(r"x{100,}", "x...x", str(_first(group)))
        except* Exception as group:  # noqa: BLE001 - whatever it is, it ends the round
            done.found = "".join(traceback.format_exception(group))
        done.kills, done.counts = chaos.house.kills, dict(chaos.counts)


def _first(group: BaseException) -> BaseException:
    return _first(group.exceptions[0]) if isinstance(group, BaseExceptionGroup) else group


def round_of(seed: int, order: Order, postgres: ChaosPostgres | None) -> Round:
    """Play a seed. Of a round that found something the folder is kept."""
    done = Round(seed)
    folder = Path(tempfile.mkdtemp(prefix="keyhouse-chaos-"))
    with contextlib.ExitStack() as opened_here:
        if postgres is None:
            opened_here.enter_context(small_disk(folder / "data"))
        asyncio.run(played(done, order, folder, postgres))
        if done.found and os.path.ismount(folder / "data"):
            shutil.copytree(folder / "data", folder / "data-kept")
    if done.found:
        _tell(done, folder)
    else:
        shutil.rmtree(folder)
    return done


def _tell(done: Round, folder: Path) -> None:
    print(f"\nFOUND with --seed {done.seed}: {done.found}\n\nIts steps:", file=sys.stderr)
    for number, step in enumerate(done.steps):
        print(f"  {number:3} {step}", file=sys.stderr)
    print(f"What is left of it: {folder}", file=sys.stderr)


def run(database: str, rounds: int, seed: int, order: Order) -> bool:
    """Rounds until the time is over; whether nothing was found."""
    done: list[Round] = []
    with contextlib.ExitStack() as opened_here:
        postgres = None
        if database == "postgresql":
            folder = Path(opened_here.enter_context(tempfile.TemporaryDirectory(prefix="keyhouse-chaos-postgresql-")))
            folder.chmod(0o711)
            postgres = ChaosPostgres(folder / "server")
            postgres.make()
            opened_here.callback(postgres.stop)
        while len(done) < rounds and (not done or time.monotonic() < order.until):
            done.append(round_of(seed + len(done), order, postgres))
            last = done[-1]
            print(
                f"seed {last.seed}: {len(last.steps)} steps, {last.kills} kills, {'FOUND' if last.found else 'nothing found'}", flush=True
            )
    total = sum((Counter(each.counts) for each in done), Counter[str]())
    print(f"\n{database}: {len(done)} rounds, {sum(len(each.steps) for each in done)} steps, {sum(each.kills for each in done)} kills")
    print("\n".join(f"  {count:8,} {name}" for name, count in sorted(total.items())))
    found = [each for each in done if each.found]
    print(f"Verdict: {f'FOUND in {len(found)} rounds' if found else 'nothing was lost'}.")
    save(f"chaos-{database}.json", {"machine": machine(), "rounds": [asdict(each) for each in done], "counts": total})
    return not found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS), metavar="STEP")
    given = parser.parse_args()
    order = Order(given.steps, given.only, time.monotonic() + given.minutes * 60)
    sys.exit(0 if run(given.database, given.rounds, given.seed, order) else 1)
