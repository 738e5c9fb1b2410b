"""What the words of an answer rest on: pages that it names itself, or numbers in brackets that stand for what was found.

https://docs.perplexity.ai/docs/cookbook/articles/streaming-citations, 30 November 2026: the numbers are the ids of
search results, and stand in the text alone.
"""

import re
from collections.abc import Iterator

from keyhouse.gateway.wire.conversation import Citation
from keyhouse.gateway.wire.fields import Fields

_NUMBER = re.compile(r"\[([0-9]{1,4})\]")


class Sources:
    """The pages found for one answer, by their numbers."""

    def __init__(self) -> None:
        self._found: dict[str, Citation] = {}

    def note(self, item: Fields) -> None:
        """Keep what an item of type `search_results` tells of; another tells of nothing."""
        for result in item.objects_or_none("results") if item.text("type") == "search_results" else ():
            url = result.text_or_none("url")
            if url:
                self._found[str(result.raw.get("id"))] = Citation(url, result.text_or_none("title") or url)

    def cited(self, content: Fields) -> tuple[Citation, ...]:
        """The pages that a content of a message rests on, each once."""
        return tuple(dict.fromkeys((*_named(content), *self._numbered(content.text_or_none("text") or ""))))

    def _numbered(self, text: str) -> Iterator[Citation]:
        return (self._found[number] for number in _NUMBER.findall(text) if number in self._found)


def _named(content: Fields) -> Iterator[Citation]:
    for annotation in content.objects_or_none("annotations"):
        url = annotation.text_or_none("url")
        if url and annotation.text_or_none("type") == "url_citation":
            yield Citation(url, annotation.text_or_none("title") or url)
