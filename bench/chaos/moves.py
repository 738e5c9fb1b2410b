"""Whole databases in the chaos run: backups, moves between kinds, restores, a full disk, and a ring that is lost and found again."""

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from bench.chaos import model
from bench.chaos.bursts import burst, excuse, heal, kill_server, traffic
from bench.chaos.checks import fits, look, resolve
from bench.chaos.house import FoundError
from bench.chaos.model import MASK, Lane, State
from bench.chaos.rings import new_line
from bench.chaos.writes import ApiKey, Backup, Chaos

SMALL_DISK_MB = 256


async def back_up(chaos: Chaos, dice: random.Random) -> str:
    """A copy while callers write: it holds one moment of every lane. It may be killed, and is not taken for one then."""
    house, target = chaos.house, chaos.house.new_target(sqlite=dice.random() < 0.8)
    kill_after = dice.random() * 2 if dice.random() < 0.3 else None
    before: Mapping[str, list[State]] = {str(lane): [lane.state] for lane in chaos.lanes}
    lengths = {name: len(states) for name, states in chaos.trail.items()}
    ring, broken = house.ring.read_text(), chaos.broken
    copying = asyncio.create_task(house.command("database", "copy", "--while-serving", target, kill_after=kill_after))
    told = await traffic(chaos, dice, kill_server if dice.random() < 0.5 else None)
    code, said = await copying
    await heal(chaos)
    await resolve(chaos)
    if code == -9:
        return f"a copy is killed after {kill_after:.1f} s; {told}"
    if code and broken == chaos.broken:
        raise FoundError(f"a copy ended with {code}: {said[-500:]}")
    found = await look(chaos, house.settings_for(target))
    lanes = []
    for lane in chaos.lanes:
        name = str(lane)
        seen = [*before[name], *chaos.trail.get(name, [])[lengths.get(name, 0) :]]
        fitting = [state for state in seen if fits(state, found[name])]
        if not fitting:
            raise FoundError(f"{lane}: the copy holds {found[name]}, which it never was")
        lanes.append(Lane(lane.project, lane.provider, fitting[:1]))
    keys = [ApiKey(**vars(key)) for key in chaos.api_keys]
    chaos.backup = Backup(target, ring, lanes, list(chaos.project_keys), keys)
    chaos.counts["backups"] += 1
    return f"a backup; {told}"


async def move(chaos: Chaos, dice: random.Random) -> str:
    """All servers stop, everything is copied into an empty database of the same or the other kind, and they go on there."""
    house, target = chaos.house, chaos.house.new_target(sqlite=dice.random() < 0.5)
    house.stop_all()
    kill_after = dice.random() * 2 if dice.random() < 0.5 else None
    # One that was killed a short while ago is taken for one that serves.
    flags = ["--while-serving"] if house.killed_lately() else []
    code, said = await house.command("database", "copy", *flags, target, kill_after=kill_after)
    if code == -9:
        if house.postgres:
            await asyncio.to_thread(house.postgres.wait_for_orphans, house.live())
        again, said = await house.command("database", "copy", *flags, target)
        # It may have been killed when everything was done.
        if again and "not empty" not in said and "holds" not in said:
            raise FoundError(f"a copy that was killed cannot be run again: {said[-500:]}")
    elif code:
        raise FoundError(f"a move ended with {code}: {said[-500:]}")
    house.url = target
    await house.start_all()
    await resolve(chaos)
    chaos.counts["moves"] += 1
    return f"a move to {target.partition(':')[0]}" + (", killed at first" if code == -9 else "")


async def restore(chaos: Chaos, dice: random.Random) -> str:
    """The newest backup takes the place of the database, with the ring of its day."""
    backup, house = chaos.backup, chaos.house
    if backup is None:
        return await back_up(chaos, dice)
    if dice.random() < 0.5:
        house.stop_all()
    else:
        for server in house.servers:
            house.kill(server, "all")
    target = house.new_target(sqlite=False)
    code, said = await house.command("database", "copy", "--while-serving", target, url=backup.url, ring=_kept(chaos, backup))
    if code:
        raise FoundError(f"a backup cannot be restored: {said[-500:]}")
    house.put_ring(backup.ring)
    house.url = target
    chaos.lanes = [lane.copied() for lane in backup.lanes]
    chaos.trail, chaos.under_way, chaos.floors = {}, {}, [0] * len(chaos.floors)
    chaos.project_keys, chaos.api_keys = list(backup.project_keys), [ApiKey(**vars(key)) for key in backup.api_keys]
    await house.start_all()
    await resolve(chaos)
    chaos.counts["restores"] += 1
    return "the backup is restored"


def _kept(chaos: Chaos, backup: Backup) -> Path:
    path = chaos.house.folder / "kept-ring"
    path.write_text(backup.ring)
    path.chmod(0o600)
    return path


async def prune(chaos: Chaos, dice: random.Random) -> str:
    """What is younger than a day stays."""
    code, said = await chaos.house.command("database", "prune", "--history-days", "1", "--audit-days", "1", "--yes")
    if code or not said.startswith("Forgotten: 0 states of providers, 0 sealed values, 0 records"):
        raise FoundError(f"a pruning ended with {code}: {said}")
    await resolve(chaos)
    return "a pruning"


async def full_disk(chaos: Chaos, dice: random.Random) -> str:
    """The disk of the data folder fills up while callers write."""
    house = chaos.house
    if house.postgres or not os.path.ismount(house.data):
        return await burst(chaos, dice)
    path = Path(house.url.removeprefix("sqlite:///"))
    # Left open, it would share its idea of the log with the next one in this process, though the servers have made another.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    left, filler = dice.randrange(0, 400) * 1024, house.data / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, shutil.disk_usage(house.data).free - left))
    excuse(chaos, 507)
    try:
        told = [await traffic(chaos, dice, dice.choice([None, kill_server])) for _ in range(dice.randint(1, 4))]
        if dice.random() < 0.4:
            code, said = await house.command("keys", "rotate")
            if "Traceback" in said:
                raise FoundError(f"a rotation on a full disk ended with {code}: {said[-800:]}")
            told.append(f"a rotation ends with {code}")
    finally:
        filler.unlink()
    await heal(chaos)
    await resolve(chaos)
    chaos.counts["full disks"] += 1
    return f"the disk has {left // 1024} KiB left: " + " | ".join(told)


async def lost_ring(chaos: Chaos, dice: random.Random) -> str:
    """The ring is lost, servers are told to go on without, and it comes back: nothing that could not be read was overwritten."""
    house, good = chaos.house, chaos.house.ring.read_text()
    _, line = new_line(dice)
    house.stop_all()
    house.put_ring(f"{line}\n")
    house.more = {"KEYHOUSE_ACCEPT_UNREADABLE": "true"}
    try:
        await house.start_all()
        for lane in chaos.lanes:
            await _unreadable(chaos, lane, dice)
        house.stop_all()
    finally:
        house.more = {}
        house.put_ring(f"{good.rstrip()}\n{line}\n")
    await house.start_all()
    await resolve(chaos)
    chaos.counts["rings lost and found"] += 1
    return "the ring is lost and found"


async def _unreadable(chaos: Chaos, lane: Lane, dice: random.Random) -> None:
    house, server, key = chaos.house, dice.choice(chaos.house.servers), chaos.project_keys[lane.project]
    path, state = f"/api/model-providers/{lane.provider}", lane.state
    entry = (await house.ask(server, "GET", path, key)).json
    names = dict.fromkeys(state.content.keys, MASK) or None
    if entry["customKeys"] != names or [header["key"] for header in entry["extraHeaders"]] != [name for name, _ in state.content.headers]:
        raise FoundError(f"{lane}: without its ring it shows {entry}")
    if not state.content.keys:
        return
    masks = {"enabled": True, "customKeys": names}
    answer = await house.ask(server, "PUT", path, key, masks)
    if answer.status != 400:
        raise FoundError(f"{lane}: masks of what cannot be read were answered {answer.status}")
    body = {"enabled": dice.random() < 0.5, "customModels": ["while-it-was-lost"]}
    answer = await house.ask(server, "PUT", path, key, body)
    if answer.status != 200:
        raise FoundError(f"{lane}: an edit beside what cannot be read was answered {answer.status} {answer.body.decode()[:300]}")
    lane.possible = [model.put(lane.kind, lane.provider, state, body)]
    chaos.floors[lane.project] = answer.revision
    answer = await house.ask(server, "POST", "/v1/chat/completions", key, {"model": f"{lane.provider}/m", "messages": []})
    if answer.status == 200:
        raise FoundError(f"{lane}: was called without its credentials")
