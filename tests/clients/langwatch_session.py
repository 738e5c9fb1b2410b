"""Runs calls of the unmodified `langwatch` package, configured by the environment as its users do, and prints what came of each.

The calls come as JSON on standard input: `[["model_providers", "set", ["openai"], {"params": {}}], ...]`.
"""

import json
import sys

import langwatch


def outcome(facade: str, method: str, positional: list[object], named: dict[str, object]) -> dict[str, object]:
    try:
        return {"value": getattr(getattr(langwatch, facade), method)(*positional, **named)}
    except Exception as raised:  # noqa: BLE001 - what a call raises is what is asked
        return {"raised": type(raised).__name__, "message": str(raised)}


results = [outcome(*call) for call in json.load(sys.stdin)]
# The package itself writes to standard output: what is ours is the last line.
print("\n" + json.dumps(results))
