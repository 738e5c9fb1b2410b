"""Power cuts: at which moments, what is found after each, and whether that is what must be."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.house import FoundError
from bench.power_loss.checks import check, serve
from bench.power_loss.disk import Disk
from bench.power_loss.ledger import SENDS, Ledger
from bench.power_loss.plan import Lane
from bench.power_loss.stage import BACKUPS, drawn, was_played
from bench.power_loss.trace import Call, read_trace

_SERVED = 100
"""Of so many cuts one is opened by a server first."""
_KEPT = 3
"""So many folders of each kind of finding are kept."""


@dataclass(frozen=True)
class Found:
    """What must not be: at which call, in which draw of the unsynced changes (0 is none of them), and what."""

    moment: int
    after: str
    draw: int
    what: str
    kept: str | None


@dataclass
class Result:
    """What came of the cuts."""

    counts: Counter[str] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)


@dataclass(frozen=True)
class Cutting:
    """Where to cut: at most so many times, at so many draws each."""

    seed: int
    cuts: int
    draws: int


def events(calls: Sequence[Call]) -> Iterator[tuple[int, Call, bool]]:
    """Each call twice: when it begins (True) and when it has ended, in order."""
    both = [(call.begun, call, True) for call in calls] + [(call.ended, call, False) for call in calls]
    return iter(sorted(both, key=lambda event: event[0]))


def moments(calls: Sequence[Call], order: Cutting, counts: Counter[str]) -> set[int]:
    """Both ends of each sync, each answer, each change of a name, and as many others between them; or as many of these as may be."""
    syncs = [moment for call in calls if call.is_sync for moment in (call.begun, call.ended)]
    answers = [call.begun for call in calls if call.name in SENDS]
    names = [call.ended for call in calls if call.name.startswith(("rename", "unlink", "mkdir"))]
    others = [call.ended for call in calls if not call.is_sync]
    dice = random.Random(f"{order.seed}/moments")
    points = order.cuts // order.draws
    sure = sorted({*syncs, *answers, *names})
    if len(sure) > points:
        chosen = {*dice.sample(sure, points)}
    else:
        chosen = {*sure, *dice.sample(others, min(len(others), points - len(sure)))}
    counts["syncs"] += len(syncs) // 2
    counts["ends of syncs where the power was cut"] += len(chosen & {*syncs})
    counts["moments where the power was cut"] += len(chosen)
    return chosen


def cut_all(folder: Path, order: Cutting, scratch: Path) -> Result:
    """Follow a trace to its end, cutting the power on the way. Raises TraceError where the trace was not understood."""
    run = was_played(folder)
    calls, lanes = list(read_trace(folder / "trace", folder)), drawn(run.order)
    result, disk, ledger = Result(), Disk(folder / "disk"), Ledger(folder / "said", run.answers)
    chosen = moments(calls, order, result.counts)
    for done, (moment, call, begins) in enumerate(events(calls)):
        if begins:
            disk.begin(call)
            ledger.begin(call)
        else:
            disk.end(call)
            ledger.end(call)
        if moment in chosen:
            at = Scratch(scratch, BACKUPS in disk.touched, order.seed)
            disk.touched.clear()
            for draw in range(order.draws):
                _cut(disk, ledger, lanes, (moment, call, draw), at, result)
            _tell(result, done, 2 * len(calls))
    disk.require_same()
    return result


@dataclass(frozen=True)
class Scratch:
    """Where to write what is found, whether backups were touched since they were looked at, and what draws all."""

    folder: Path
    backups: bool
    seed: int

    def dice(self, moment: int, draw: int) -> random.Random | None:
        """The same for the same cut. None in the first draw: there nothing is found but what was synced."""
        return random.Random(f"{self.seed}/{moment}/{draw}") if draw else None


def _cut(disk: Disk, ledger: Ledger, lanes: Mapping[str, Lane], where: tuple[int, Call, int], scratch: Scratch, result: Result) -> None:
    moment, call, draw = where
    place = scratch.folder / "found"
    disk.cut(scratch.dice(moment, draw), place)
    result.counts["power cuts"] += 1
    try:
        if result.counts["power cuts"] % _SERVED == 0 and serve(place, ledger):
            result.counts["of them found by a server that was started"] += 1
        asyncio.run(check(place, ledger, lanes, backups=scratch.backups))
    except Exception as failure:  # noqa: BLE001 - whatever keeps a house from opening is what is looked for
        what = str(failure) if isinstance(failure, FoundError) else f"does not open: {type(failure).__name__}: {failure}"
        kept = None
        if sum(one.what == what for one in result.found) < _KEPT:
            kept = str(scratch.folder / f"found-{len(result.found)}")
            disk.cut(scratch.dice(moment, draw), Path(kept))
        result.found.append(Found(moment, f"{call.name} {' '.join(call.open_files[:1] or call.paths[-1:])}", draw, what, kept))
    shutil.rmtree(place)


def _tell(result: Result, done: int, total: int) -> None:
    cuts = result.counts["power cuts"]
    if cuts % 100 < 2:
        print(f"  {cuts:6,} cuts, {100 * done // total:3} % of the trace, {len(result.found)} findings", flush=True)
