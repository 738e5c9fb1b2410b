"""What is done to the key ring: rotation, retirement, keys added by hand, wrong rings. Each may be killed on the way."""

import asyncio
import base64
import json
import os
import random
import sys
from collections import Counter

from bench.chaos.bursts import burst, heal, traffic
from bench.chaos.checks import digest, resolve
from bench.chaos.house import FoundError
from bench.chaos.writes import Chaos

_TAKEN_UP_S = 2.5
"""A server looks at the ring's file once a second."""


async def rotate(chaos: Chaos, dice: random.Random) -> str:
    """A rotation while callers write, killed on the way as often as not; it is run to its end some time later."""
    kill_after = 0.3 + dice.random() * 3 if dice.random() < 0.6 else None
    broken = chaos.broken
    result = asyncio.create_task(chaos.house.command("keys", "rotate", kill_after=kill_after))
    done = [await burst(chaos, dice)]
    while not result.done() and len(done) < 4:
        done.append(await burst(chaos, dice))
    code, said = await result
    if code not in (0, -9) and (broken == chaos.broken or "Traceback" in said):
        raise FoundError(f"a rotation ended with {code}: {said[-800:]}")
    chaos.counts["rotations killed" if code == -9 else "rotations"] += 1
    end = f", killed after {kill_after:.1f} s" if code == -9 else ""
    return f"rotation{end}, beside it: " + " | ".join(done)


async def retire(chaos: Chaos, dice: random.Random) -> str:
    """Retire what seals nothing, and try to retire what does."""
    code, said = await chaos.house.command("keys", "status", "--json")
    if code:
        raise FoundError(f"keys status ended with {code}: {said[-500:]}")
    told = []
    for key in json.loads(said)["keys"]:
        if key["writes"] or dice.random() < 0.3:
            continue
        kill_after = dice.random() * 1.5 if dice.random() < 0.4 else None
        code, said = await chaos.house.command("keys", "retire", key["id"], "--yes", kill_after=kill_after)
        if code == 0 and key["values"]:
            raise FoundError(f"{key} was retired: {said}")
        if code not in (0, -9) and not key["values"]:
            raise FoundError(f"{key} was not retired: {code} {said[-500:]}")
        chaos.counts["retirements killed" if code == -9 else "retirements" if code == 0 else "retirements refused"] += 1
        told.append(f"{key['id']}: {code}")
    return f"retire {', '.join(told)}"


async def replace(chaos: Chaos, dice: random.Random) -> str:
    """Two processes at once replace all keys again and again, without a pause, while callers write. They are killed as often as not."""
    seconds, broken = 2 + dice.random() * 8, chaos.broken
    deaths = [dice.random() * seconds if dice.random() < 0.5 else None for _ in range(2)]
    command = (sys.executable, "-m", "bench.chaos.replacing", str(seconds))
    replacing = asyncio.gather(*(chaos.house.program(*command, kill_after=death) for death in deaths))
    done = [await burst(chaos, dice)]
    while not replacing.done() and len(done) < 6:
        done.append(await burst(chaos, dice))
    counted = Counter[str]()
    for code, said in await replacing:
        if code not in (0, -9) and (broken == chaos.broken or "FoundError" in said):
            raise FoundError(f"a replacement of keys ended with {code}: {said[-800:]}")
        if code == 0:
            counted.update(json.loads(said.splitlines()[-1]))
    chaos.counts["replacements of all keys"] += counted["rotations"]
    killed = sum(death is not None for death in deaths)
    return f"keys are replaced for {seconds:.1f} s, {killed} of 2 killed, {dict(counted)}, beside it: " + " | ".join(done)


async def add_by_hand(chaos: Chaos, dice: random.Random) -> str:
    """A new key, put last and then first, as the documents have it for several machines."""
    house, (key_id, line) = chaos.house, new_line(dice)
    house.put_ring(f"{house.ring.read_text().rstrip()}\n{line}\n")
    told = [await burst(chaos, dice)]
    await asyncio.sleep(_TAKEN_UP_S)
    others = "".join(f"{each}\n" for each in house.ring.read_text().splitlines() if each.strip() != line)
    house.put_ring(f"{line}\n{others}")
    told.append(await burst(chaos, dice))
    return f"the key {key_id} is added by hand: " + " | ".join(told)


async def wrong_ring(chaos: Chaos, dice: random.Random) -> str:
    """No server starts with a ring that is wrong, and nothing is changed by the attempt; the status says how things are."""
    wrong = chaos.house.folder / "wrong-ring"
    what, text = _wrong(chaos, dice)
    wrong.write_text(text)
    wrong.chmod(0o600)
    before = await digest(chaos)
    await chaos.house.refuses_to_start(wrong)
    code, said = await chaos.house.command("keys", "status", "--json", ring=wrong)
    if code or "Traceback" in said:
        raise FoundError(f"keys status with a wrong ring ({what}) ended with {code}: {said[-500:]}")
    told = json.loads(said)
    if not told["unreadable"] and not told["problem"]:
        raise FoundError(f"keys status finds nothing wrong with a wrong ring ({what}): {said}")
    for arguments in (("keys", "rotate"), ("provider", "list")):
        code, said = await chaos.house.command(*arguments, ring=wrong)
        if not code or "Traceback" in said:
            raise FoundError(f"{arguments} with a wrong ring ({what}) ended with {code}: {said[-500:]}")
    if before != await digest(chaos):
        raise FoundError(f"a start with a wrong ring ({what}) changed the database")
    chaos.counts["wrong rings refused"] += 1
    return f"a wrong ring: {what}"


def _wrong(chaos: Chaos, dice: random.Random) -> tuple[str, str]:
    lines = [line for line in chaos.house.ring.read_text().splitlines() if "=" in line and not line.startswith("#")]
    ids = [line.partition("=")[0].strip() for line in lines]
    other = "".join(f"{key_id} = {_key(dice)}\n" for key_id in ids)
    kinds = {
        "other keys under the same ids": other,
        "another key alone": new_line(dice)[1] + "\n",
        "nothing": "",
        "half a line": lines[0][: len(lines[0]) // 2],
        "no text": os.urandom(40).hex(),
    }
    what = dice.choice(list(kinds))
    return what, kinds[what]


async def spoilt_ring(chaos: Chaos, dice: random.Random) -> str:
    """The ring's file is spoilt under running servers: they go on with the ring they have, and none starts until it is back."""
    house, good = chaos.house, chaos.house.ring.read_text()
    what, text = _wrong(chaos, dice)
    house.put_ring(text)
    try:
        await asyncio.sleep(_TAKEN_UP_S)
        told = await traffic(chaos, dice, None)
        victim = dice.choice(house.servers)
        house.kill(victim, "all")
        await house.refuses_to_start(house.ring)
    finally:
        house.put_ring(good)
    await heal(chaos)
    await resolve(chaos)
    return f"the ring is spoilt for a while ({what}): {told}"


def new_line(dice: random.Random) -> tuple[str, str]:
    """A new key's id and line."""
    key_id = f"by-hand-{dice.randbytes(6).hex()}"
    return key_id, f"{key_id} = {_key(dice)}"


def _key(dice: random.Random) -> str:
    return base64.b64encode(dice.randbytes(32)).decode()
