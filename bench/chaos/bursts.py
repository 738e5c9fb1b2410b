"""Bursts of writes and reads, with something done to the servers or to the database in the middle of them."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable

from bench.chaos.checks import resolve
from bench.chaos.gateway import read_on
from bench.chaos.house import Server
from bench.chaos.model import Lane
from bench.chaos.writes import Chaos, contend, write_on

Deed = Callable[[Chaos, random.Random], Awaitable[str]]
_READERS = 2


async def burst(chaos: Chaos, dice: random.Random, deed: Deed | None = None) -> str:
    """Several callers write and read at once; `deed` is done meanwhile, by default a random one. Afterwards all is healed and compared."""
    told = await traffic(chaos, dice, deed or _random_deed(chaos, dice))
    await heal(chaos)
    await resolve(chaos)
    return told


async def traffic(chaos: Chaos, dice: random.Random, deed: Deed | None) -> str:
    """The burst alone."""
    lanes = dice.sample(chaos.lanes, dice.randint(1, 8))
    stop, done = asyncio.Event(), ""
    delay = dice.random() * 0.5
    async with asyncio.TaskGroup() as tasks:
        for number in range(_READERS):
            tasks.create_task(read_on(chaos, stop, random.Random(f"{dice.random()}/{number}")))
        writing = [tasks.create_task(_caller(chaos, lane, random.Random(dice.random()), dice.randint(2, 25))) for lane in lanes]
        if deed is not None:
            await asyncio.sleep(delay)
            done = await deed(chaos, dice)
        await asyncio.gather(*writing)
        stop.set()
    names = ", ".join(str(lane) for lane in lanes)
    return f"burst on {names}" + (f"; after {delay * 1000:.0f} ms {done}" if done else "")


async def _caller(chaos: Chaos, lane: Lane, dice: random.Random, times: int) -> None:
    if dice.random() < 0.2 and len(lane.possible) == 1:
        await contend(chaos, lane, dice)
    await write_on(chaos, lane, times, dice)


async def heal(chaos: Chaos) -> None:
    """All servers serve again, and nothing that a killed one sent is under way."""
    house = chaos.house
    for server in house.servers:
        server.send(signal.SIGCONT)
    await house.start_all()
    if house.postgres:
        await asyncio.to_thread(house.postgres.wait_for_orphans, house.live())
    chaos.excused.clear()


def _random_deed(chaos: Chaos, dice: random.Random) -> Deed | None:
    deeds: list[Deed | None] = [None, kill_server, kill_server, kill_all, pause, replace, stop_politely]
    if chaos.house.postgres:
        deeds += [end_sessions, kill_backend, stop_postgres, kill_postgres]
    return dice.choice(deeds)


async def kill_server(chaos: Chaos, dice: random.Random) -> str:
    server = dice.choice(chaos.house.servers)
    whom = "all" if server.workers == 1 else dice.choice(["all", "worker", "worker", "supervisor"])
    chaos.house.kill(server, whom)
    return f"kill -9 of server {server.number} ({whom})"


async def kill_all(chaos: Chaos, dice: random.Random) -> str:
    for server in chaos.house.servers:
        chaos.house.kill(server, "all")
    return "kill -9 of every server"


async def pause(chaos: Chaos, dice: random.Random) -> str:
    """A server that stands still while others go on must be no older than they are when it goes on."""
    server, length = dice.choice(chaos.house.servers), 0.2 + dice.random()
    server.send(signal.SIGSTOP)
    await asyncio.sleep(length)
    server.send(signal.SIGCONT)
    return f"server {server.number} stands still for {length:.1f} s"


async def replace(chaos: Chaos, dice: random.Random) -> str:
    """A server of several workers is replaced in place."""
    servers = [server for server in chaos.house.servers if server.workers > 1 and server.runs]
    if not servers:
        return "nothing to replace"
    assert servers[0].process is not None
    servers[0].process.send_signal(signal.SIGUSR2)
    await _replaced(servers[0])
    return f"server {servers[0].number} is replaced in place"


async def _replaced(server: Server) -> None:
    """Wait until none of its workers is one of those before."""
    before = server.serving()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while server.runs and (server.serving() & before or len(server.serving()) < server.workers):
                await asyncio.sleep(0.05)


async def stop_politely(chaos: Chaos, dice: random.Random) -> str:
    server = dice.choice(chaos.house.servers)
    if server.process is not None and server.runs:
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.process.wait, 30)
    return f"server {server.number} is told to stop"


def excuse(chaos: Chaos, *statuses: int) -> None:
    """Something is broken on purpose: until all is healed these answers are no fault."""
    chaos.excused |= set(statuses)
    chaos.broken += 1


async def end_sessions(chaos: Chaos, dice: random.Random) -> str:
    excuse(chaos, 503)
    assert chaos.house.postgres is not None
    ended = await asyncio.to_thread(chaos.house.postgres.end_backends, roughly=False)
    return f"{ended} sessions of PostgreSQL are ended"


async def kill_backend(chaos: Chaos, dice: random.Random) -> str:
    excuse(chaos, 503)
    assert chaos.house.postgres is not None
    await asyncio.to_thread(chaos.house.postgres.end_backends, roughly=True)
    chaos.house.kills += 1
    return "kill -9 of a backend of PostgreSQL"


async def stop_postgres(chaos: Chaos, dice: random.Random) -> str:
    return await _without_postgres(chaos, dice, kill=False)


async def kill_postgres(chaos: Chaos, dice: random.Random) -> str:
    return await _without_postgres(chaos, dice, kill=True)


async def _without_postgres(chaos: Chaos, dice: random.Random, *, kill: bool) -> str:
    postgres, length = chaos.house.postgres, dice.random()
    assert postgres is not None
    excuse(chaos, 503)
    await asyncio.to_thread(postgres.kill if kill else postgres.stop)
    chaos.house.kills += 1
    server = dice.choice(chaos.house.servers) if dice.random() < 0.3 else None
    if server:
        chaos.house.kill(server, "all")
    await asyncio.sleep(length)
    await asyncio.to_thread(postgres.start)
    also = f" and kill -9 of server {server.number}" if server else ""
    return f"PostgreSQL {'is killed' if kill else 'stops at once'}{also}, and comes back after {length:.1f} s"
