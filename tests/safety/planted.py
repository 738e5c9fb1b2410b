"""Secrets that are planted to be searched for, and the forms in which one could come to light."""

import base64
import json
import re
import secrets
from collections.abc import Iterable
from functools import cache
from urllib.parse import quote, quote_plus

MARK = f"Mark{secrets.token_hex(8)}"
"""Stands in every planted secret: each form of one holds a form of it, and is found where that is."""


def planted(where: str) -> str:
    """A secret that occurs nowhere else, with characters that look different in each form."""
    return f'{where}"/+&\\é{MARK}{secrets.token_hex(12)}'


def planted_token(where: str) -> str:
    """The same for places where only letters and digits are legal."""
    return f"{where}{MARK}{secrets.token_hex(12)}"


@cache
def forms(secret: str | bytes) -> dict[str, bytes]:
    """The forms of a secret that are searched for, by name. Of base64 the characters that do not depend on what stands around it."""
    raw = secret.encode() if isinstance(secret, str) else secret
    found = {"plain": raw, "hexadecimal": raw.hex().encode(), "HEXADECIMAL": raw.hex().upper().encode()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        inner = encoded[(0, 2, 3)[offset] : len(encoded) - ((offset + len(raw)) % 3 > 0)]
        found[f"base64 at {offset}"] = inner
        found[f"base64url at {offset}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    if isinstance(secret, str):
        found["Latin-1"] = secret.encode("latin-1")
        found["UTF-16"] = secret.encode("utf-16-le")
        found["in a URL"] = quote(secret, safe="").encode()
        found["in a form"] = quote_plus(secret).encode()
        found["in JSON"] = json.dumps(secret, ensure_ascii=False)[1:-1].encode()
        found["in ASCII JSON"] = json.dumps(secret)[1:-1].encode()
        found["in a repr"] = repr(secret)[1:-1].encode()
        # However the rest is written, a long run of letters and digits is always the same.
        longest = max(re.findall(r"[A-Za-z0-9]+", secret), key=len)
        if len(longest) >= 20:
            found["its longest word"] = longest.encode()
    return found


def found_in(material: bytes, hidden: Iterable[str | bytes]) -> list[tuple[str, str]]:
    """Which secrets the material holds, and in which form; a secret is named by its beginning."""
    looked_for = list(hidden)
    marked = {secret for secret in looked_for if isinstance(secret, str) and MARK in secret}
    marks = near_marks(material, max((len(needle) for secret in marked for needle in forms(secret).values()), default=0))
    return [
        (str(secret)[:12], form)
        for secret in looked_for
        for form, needle in forms(secret).items()
        if needle in (marks if secret in marked else material)
    ]


def near_marks(material: bytes, reach: int) -> bytes:
    """The parts of the material that are no further than `reach` from a form of `MARK`, each kind of them once."""
    parts: set[bytes] = set()
    begin = end = 0
    for place in sorted(match.start() for needle in set(forms(MARK).values()) for match in re.finditer(re.escape(needle), material)):
        if place - reach > end:
            parts.add(material[begin:end])
            begin = place - reach
        end = place + reach
    parts.add(material[begin:end])
    return b"\0\0".join(parts)
