"""The figures of bench/gateway.py as ratios with their goals beside them, for people and for bench/RESULTS.md."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from bench.serving import OUT, Figures, figures_table, machine, median, save, shown
from bench.throughput import generator


@dataclass(frozen=True)
class Goal:
    """What is wanted of a figure: `least` must be reached, `aim` is the wish; both are upper bounds where `lower` is true."""

    what: str
    least: float
    aim: float
    lower: bool = True
    unit: str = ""

    def verdict(self, value: float) -> str:
        def reached(bound: float) -> bool:
            return value <= bound if self.lower else value >= bound

        return "aim reached" if reached(self.aim) else "reached" if reached(self.least) else "**missed**"


Row = tuple[Goal, float]


def ratios(figures: Figures, rate: float) -> list[Row]:
    """Every goal whose figures are there."""
    middle = {name: median(values) for name, values in figures.items()}

    def ratio(upper: str, lower: str) -> float | None:
        return middle[upper] / middle[lower] if upper in middle and lower in middle else None

    def difference(one: str, other: str) -> float | None:
        return middle[one] - middle[other] if one in middle and other in middle else None

    c64, c16 = "requests/s c=64", "requests/s c=16"
    cpu, added = "CPU us a request c=64", f"added p50 ms at {rate:g}/s"
    beside = "beside many projects, c=64"
    rows = [
        (Goal("requests/s at c=64, ours / nginx", 0.5, 0.8, lower=False), ratio(f"ours: {c64}", f"nginx: {c64}")),
        (Goal("CPU a request, ours / nginx", 2.5, 1.5), ratio(f"ours: {cpu}", f"nginx: {cpu}")),
        (Goal("the same over HTTPS, ours / nginx plain", 4, 2.5), ratio("ours: CPU us a request HTTPS, c=64", f"nginx: {cpu}")),
        (Goal("requests/s at c=16, ours / LiteLLM", 80, 150, lower=False), ratio(f"ours: {c16}", f"LiteLLM: {c16}")),
        (Goal("requests/s at c=16, ours / Portkey warm", 12, 25, lower=False), ratio(f"ours: {c16}", f"Portkey: {c16}")),
        (Goal(f"added p50 at {rate:g}/s, ours / nginx", 2.5, 1.3), ratio(f"ours: {added}", f"nginx: {added}")),
        (
            Goal("SSE CPU a chunk, ours / nginx", 1.8, 1.1),
            ratio("ours: streams, CPU us an event", "nginx: streams, CPU us an event"),
        ),
        (
            Goal("SSE first byte added, 50 streams", 2, 0.5, unit=" ms"),
            difference("ours: streams, first byte p50 ms", "direct: streams, first byte p50 ms"),
        ),
        (Goal("RSS idle", 90, 60, unit=" MB"), middle.get("ours: RSS idle MB")),
        (Goal("RSS after 256 connections", 120, 90, unit=" MB"), middle.get("ours: RSS loaded MB")),
        (Goal("start to first answer", 2, 1, unit=" s"), middle.get("ours: start to first answer s")),
        (
            Goal("gateway request, 10 / very many projects stored", 1.1, 1.0),
            ratio(f"ours: requests/s {beside}", f"ours, many projects: requests/s {beside}"),
        ),
    ]
    return [(goal, value) for goal, value in rows if value is not None]


def sides_table(figures: Figures, names: Sequence[str], rate: float) -> str:
    """One line a side, as in a comparison of products."""
    middle = {name: median(values) for name, values in figures.items()}

    def cell(name: str, *whats: str) -> str:
        found = [shown(middle[key]) if (key := f"{name}: {what}") in middle else "" for what in whats]
        return " / ".join(found).strip(" /")

    heads = (
        f"| one core | requests/s at 1 / 16 / 64 / 256 | CPU µs a request | HTTPS: requests/s, CPU µs | added p50 / p99 ms at {rate:g}/s "
        "| 50 streams: first byte p50 / p99 ms | CPU µs an event | RSS idle / loaded MB | start s |"
    )
    lines = [heads, "|---|---|---|---|---|---|---|---|---|"]
    for name in names:
        cells = (
            cell(name, *(f"requests/s c={count}" for count in (1, 16, 64, 256))),
            cell(name, "CPU us a request c=64"),
            cell(name, "requests/s HTTPS, c=64", "CPU us a request HTTPS, c=64"),
            cell(name, f"added p50 ms at {rate:g}/s", f"added p99 ms at {rate:g}/s"),
            cell(name, "streams, first byte p50 ms", "streams, first byte p99 ms"),
            cell(name, "streams, CPU us an event"),
            cell(name, "RSS idle MB", "RSS loaded MB"),
            cell(name, "start to first answer s"),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def versions() -> str:
    """Of everything that takes part, as far as it says."""
    nginx = subprocess.run([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr
    ours = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "httptools", "msgspec"))
    return f"{nginx.strip().rpartition('/')[2]} (nginx), {ours}; load: {generator()}"


def report(figures: Figures, remarks: list[str], names: Sequence[str], rate: float) -> None:
    """Print everything, and write it to bench/out as JSON and as text."""
    rows = ratios(figures, rate)
    about = machine()
    lines = ["| ratio | measured | at least | aim | |", "|---|---|---|---|---|"]
    for goal, value in rows:
        lines.append(
            f"| {goal.what} | {shown(value)}{goal.unit} | {goal.least:g}{goal.unit} | {goal.aim:g}{goal.unit} | {goal.verdict(value)} |"
        )
    text = "\n".join(
        [
            " ".join(remarks),
            f"Machine: {about['cores']} cores ({about['processor']}), {about['system']}, Python {about['python']}; {versions()}.",
            "",
            *lines,
            "",
            sides_table(figures, names, rate),
        ]
    )
    print(text, "", figures_table(figures), sep="\n")
    save("gateway.json", {"machine": about, "remarks": remarks, "figures": figures, "ratios": {goal.what: value for goal, value in rows}})
    (OUT / "gateway.md").write_text(f"{text}\n")
