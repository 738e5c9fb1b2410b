"""What the outside world was told until a moment, and what it had asked for: read from the same trace as what happened to the disk."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.power_loss.trace import Call

_TAG = re.compile(rb"HTTP/1\.1 200 .*?\r\netag: \"(?:[^\"]*-)?(\d+)\.[^\"]*\"\r\n", re.DOTALL | re.IGNORECASE)
_KEYS = re.compile(r"project key +(\S+)\n.*?admin key +(\S+)\n", re.DOTALL)
_ROTATED, _RETIRED = re.compile(r"values are sealed with (\S+) now"), re.compile(r"Retired (\S+)\.")
COPIED = "were copied and read back the same"
SENDS = frozenset(("sendto", "sendmsg", "write", "writev"))

Counts = Mapping[str, int]
Answers = Mapping[int, tuple[str, int]]


@dataclass
class Ledger:
    """Counts of changes are by provider; texts are what each process said, by the name of the file that it went to."""

    said_in: Path
    changes: Answers
    """Which change was answered with which revision of the project, as the caller noted."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    said: dict[str, str] = field(default_factory=dict)
    before: dict[str, Counts] = field(default_factory=dict)
    """What was acknowledged when a process began."""
    after: dict[str, Counts] = field(default_factory=dict)
    """What was acknowledged when a process had copied."""

    def begin(self, call: Call) -> bool:
        """A call begins; whether it tells somebody something, who may know it from now on."""
        if call.name not in SENDS or not (places := call.open_files):
            return False
        if not places[0].startswith("/"):
            return self._answer(call)
        place = Path(places[0])
        if place.parent != self.said_in:
            return False
        self.said[place.name] = self.said.get(place.name, "") + call.data.decode(errors="replace")
        if COPIED in self.said[place.name]:
            self.after.setdefault(place.name, Counter(self.acknowledged))
        return True

    def _answer(self, call: Call) -> bool:
        tag = _TAG.match(call.data)
        change = self.changes.get(int(tag[1])) if tag else None
        if change is None:
            return False
        provider, number = change
        self.acknowledged[provider] = max(self.acknowledged[provider], number)
        return True

    def next_answered(self, provider: str, number: int) -> int:
        """The next change of a provider behind this one that is answered: a kill may have left one between them unanswered, but made."""
        behind = [other for name, other in self.changes.values() if name == provider and other > number]
        return min(behind, default=number + 1)

    def end(self, call: Call) -> None:
        """A call has ended well."""
        if call.name in ("open", "openat") and b"O_CREAT" in call.text and (path := Path(call.paths[0])).parent == self.said_in:
            self.before.setdefault(path.name, Counter(self.acknowledged))

    @property
    def first_keys(self) -> tuple[str, str] | None:
        """The project key and the admin key, once they were shown."""
        found = _KEYS.search("".join(self.said.values()))
        return (found[1], found[2]) if found else None

    @property
    def rotated(self) -> list[str]:
        """The keys that were said to seal everything."""
        return _ROTATED.findall("".join(self.said.values()))

    @property
    def retired(self) -> list[str]:
        """The keys that were said to be retired."""
        return _RETIRED.findall("".join(self.said.values()))

    @property
    def retiring(self) -> list[str]:
        """The keys whose retirement has begun: the files are named after them."""
        return [name.removeprefix("retire-") for name in self.before if name.startswith("retire-")]

    def copies(self) -> dict[str, tuple[Counts, Counts]]:
        """The copies that were said to be made, by the name of the process: at least what they hold, and at most."""
        return {name: (self.before[name], after) for name, after in self.after.items()}
