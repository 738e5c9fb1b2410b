"""Slugs: names as they can stand in an address, of lowercase letters, digits and single hyphens."""

import re
import unicodedata

LONGEST_SLUG = 80
SLUG_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"


def slug_from(name: str) -> str:
    """The slug that a name reads like; empty where it has no letter or digit of ASCII, even without its accents."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].rstrip("-")
