"""Secrets that are planted to be searched for, and the forms in which one could come to light."""

import base64
import json
import re
import secrets
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MARK = f"Mark{secrets.token_hex(8)}"
"""Stands in every planted secret: material that holds no form of it holds no form of any of them, and need not be searched for each."""


def planted(where: str) -> str:
    """A secret that occurs nowhere else, with characters that look different in each form."""
    return f'{where}"/+&\\é{MARK}{secrets.token_hex(12)}'


def planted_token(where: str) -> str:
    """The same for places where only letters and digits are legal."""
    return f"{where}{MARK}{secrets.token_hex(12)}"


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
    marked = any(needle in material for needle in forms(MARK).values())
    looked_for = (secret for secret in hidden if marked or not (isinstance(secret, str) and MARK in secret))
    return [(str(secret)[:12], form) for secret in looked_for for form, needle in forms(secret).items() if needle in material]
