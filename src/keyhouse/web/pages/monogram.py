"""A provider's mark on the pages: its initials on a quiet colour, made from its name. Nobody's trademark."""

from markupsafe import Markup

_TONES = 8


def monogram(name: str) -> Markup:
    """A small SVG. It says nothing that the name beside it does not say, so screen readers pass it over."""
    letters, tone = initials(name), sum(map(ord, name)) % _TONES
    return Markup(
        '<svg class="mark tone-{}" viewBox="0 0 40 40" aria-hidden="true" focusable="false">'
        '<rect width="40" height="40" rx="10"/><text x="20" y="25.5" text-anchor="middle">{}</text></svg>'
    ).format(tone, letters)


def initials(name: str) -> str:
    """Two letters: the first of two words, else the first two of one."""
    words = [word for word in "".join(letter if letter.isalnum() else " " for letter in name).split() if word]
    if len(words) > 1:
        return (words[0][0] + words[1][0]).upper()
    capitals = [letter for letter in name if letter.isupper()]
    return "".join(capitals[:2]) if len(capitals) > 1 else name[:2].capitalize()
