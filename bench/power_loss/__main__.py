"""Is what was acknowledged on the disk? `uv run python -m bench.power_loss`: real servers and commands under strace, then power cuts.

A first start, callers, new keys, a crash, backups and a restore are played with SQLite while strace writes down each change of a file
and each sync. From that the disk is rebuilt as it could be found after a power cut at many moments: what was synced is there, and of all
that was not, any part. Each time the house must open, and hold all that was acknowledged until then. The exit code is 0 where nothing was
found. `--again FOLDER` cuts again in a run that was kept. Writes power-loss.json. Needs strace.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.power_loss.cuts import Cutting, Result, cut_all
from bench.power_loss.stage import ACTS, Order, played, was_played
from bench.power_loss.trace import require_strace
from bench.serving import machine, save

_MEMORY = Path("/dev/shm")


def run(folder: Path, order: Order, cutting: Cutting) -> Result:
    """Play, unless that was done, and cut."""
    if not (folder / "trace").exists():
        print(f"{order.workers} {'worker' if order.workers == 1 else 'workers'}, seed {order.seed}:", flush=True)
        asyncio.run(played(folder, order))
    scratch = Path(tempfile.mkdtemp(prefix="keyhouse-power-cuts-", dir=_MEMORY if _MEMORY.is_dir() else None))
    result = cut_all(folder, cutting, scratch)
    for what, count in Counter(one.what for one in result.found).most_common():
        print(f"FOUND {count} times: {what[:500]}")
        for one in result.found:
            if one.what == what and one.kept:
                print(f"  at {one.moment}, draw {one.draw}, {one.after}: {one.kept}")
    cuts, moments = result.counts["power cuts"], result.counts["moments where the power was cut"]
    print(f"{cuts:,} power cuts at {moments:,} moments of {result.counts['syncs']} syncs: {len(result.found) or 'no'} findings", flush=True)
    if result.found:
        print(f"The run is kept: {folder}")
    else:
        shutil.rmtree(scratch)
    return result


def run_all(orders: Sequence[Order], cutting: Cutting, again: Path | None, *, keep: bool) -> bool:
    """Whether nothing was found."""
    results = []
    for order in orders:
        folder = again or Path(tempfile.mkdtemp(prefix="keyhouse-power-loss-"))
        results.append(run(folder, order, cutting))
        if not (results[-1].found or again or keep):
            shutil.rmtree(folder)
    total = sum((result.counts for result in results), Counter[str]())
    found = [one for result in results for one in result.found]
    print("\n" + "\n".join(f"  {count:8,} {name}" for name, count in sorted(total.items())))
    print(f"Verdict: {f'FOUND {len(found)} times' if found else 'all that was acknowledged was on the disk'}.")
    save(
        "power-loss.json",
        {"machine": machine(), "orders": [asdict(order) for order in orders], "counts": total, "found": list(map(asdict, found))},
    )
    return not found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="a run for each of these numbers of workers")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--cuts", type=int, default=3000, help="power cuts of each run, at most")
    parser.add_argument("--draws", type=int, default=2, help="of each moment: nothing unsynced is found, then any part of it, drawn anew")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="a run that was kept")
    parser.add_argument("--only", nargs="*", choices=ACTS[1:], default=ACTS[1:], metavar="ACT", help="after the first start")
    parser.add_argument("--keep", action="store_true", help="keep the runs where nothing was found, too")
    given = parser.parse_args()
    require_strace()
    orders = [Order(given.seed, count, acts=(ACTS[0], *given.only)) for count in given.workers]
    if given.again:
        orders = [was_played(given.again).order]
    sys.exit(0 if run_all(orders, Cutting(given.seed, given.cuts, given.draws), given.again, keep=given.keep) else 1)
