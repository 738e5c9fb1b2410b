"""What an answer rests on, as OpenAI's formats tell it: places of the text, counted in characters.

The types of the openai package (3.57.0), 30 November 2026.
"""

from collections.abc import Iterable

from keyhouse.gateway.wire.conversation import Citation, TextPart
from keyhouse.gateway.wire.fields import JsonObject


def render_citations(parts: Iterable[TextPart]) -> list[JsonObject]:
    """The member `annotations` of a text that these parts make up."""
    rendered: list[JsonObject] = []
    start = 0
    for part in parts:
        end = start + len(part.text)
        rendered += [render_citation(citation, start, end) for citation in part.citations]
        start = end
    return rendered


def render_citation(citation: Citation, start: int, end: int) -> JsonObject:
    """An annotation of Responses."""
    return {"type": "url_citation", "url": citation.url, "title": citation.title, "start_index": start, "end_index": end}


def in_chat(annotation: JsonObject) -> JsonObject:
    """The same annotation in Chat Completions."""
    return {"type": "url_citation", "url_citation": {name: value for name, value in annotation.items() if name != "type"}}
