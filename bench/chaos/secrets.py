"""Secrets that the chaos run plants, and the search for them."""

import base64
import json
import mmap
import random
import secrets
from collections.abc import Iterable
from pathlib import Path

MARK = f"Mark{secrets.token_hex(8)}"
"""Stands in every planted secret."""


def planted(dice: random.Random, where: str) -> str:
    """A secret that occurs nowhere else, with characters that look different in each form."""
    return f'{where}"/+&\\{MARK}{dice.randbytes(9).hex()}'


def planted_json(dice: random.Random) -> str:
    """The same as a service account's file."""
    return json.dumps({"type": "service_account", "private_key": planted(dice, "account")})


def planted_header(dice: random.Random) -> str:
    """The same for a header."""
    return f"header-{MARK}{dice.randbytes(9).hex()}"


def forms(secret: str) -> dict[str, bytes]:
    """What is searched for. Of base64 the characters that do not depend on what stands around it."""
    raw = secret.encode()
    found = {"plain": raw, "hexadecimal": raw.hex().encode(), "UTF-16": secret.encode("utf-16-le")}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        found[f"base64 at {offset}"] = encoded[(0, 2, 3)[offset] : len(encoded) - ((offset + len(raw)) % 3 > 0)]
    return found


def leaks(files: Iterable[Path], tokens: Iterable[str]) -> list[str]:
    """Which files hold a planted secret, or one of these tokens, and in which form."""
    needles = [(f"{what} in {form}", needle) for what, secret in _named(tokens) for form, needle in forms(secret).items()]
    found = []
    for path in files:
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found += [f"{path}: {what}" for what, needle in needles if content.find(needle) >= 0]
        except (FileNotFoundError, ValueError):
            # It is gone by now, or empty.
            continue
    return found


def _named(tokens: Iterable[str]) -> list[tuple[str, str]]:
    return [("a planted secret", MARK), *(("a key of the house", token) for token in tokens)]
