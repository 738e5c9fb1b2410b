"""What somebody did on the page before, in words of ours: an address names it, so that no link can say anything else."""

from collections.abc import Mapping

from starlette.requests import Request

from keyhouse.web.pages.visit import is_from_another_site

_WORDS: Mapping[str, str] = {
    "revoked": "The key is revoked.",
    "project-renamed": "The project is renamed.",
    "project-archived": "The project is archived.",
    "team-made": "The team is made.",
    "team-renamed": "The team is renamed.",
    "team-archived": "The team is archived.",
    "taken-back": "The earlier state is in force again.",
}


def done_words(request: Request) -> str:
    """The sentence for what the address says was done; empty where it names nothing that we know, or where another site led here."""
    return "" if is_from_another_site(request) else _WORDS.get(request.query_params.get("done", ""), "")
