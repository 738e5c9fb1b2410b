"""Slugs that nobody has yet: the name's own, or, where that is taken, with a few random letters behind."""

import secrets
from collections.abc import Callable

from keyhouse.domain.slug import slug_from


def free_slug(name: str, kind: str, is_taken: Callable[[str], bool]) -> str:
    """A slug for a thing of some kind. Two at once may get the same one: nothing is found by it."""
    slug = slug_from(name) or kind
    return f"{slug}-{secrets.token_hex(4)}" if is_taken(slug) else slug
