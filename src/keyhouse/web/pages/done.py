"""What somebody did on the page before, in words of ours: an address names it, so that no link can say anything else."""

from collections.abc import Mapping

from starlette.requests import Request

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
    """The sentence for what the address says was done; empty where it names nothing that we know."""
    return _WORDS.get(request.query_params.get("done", ""), "")
