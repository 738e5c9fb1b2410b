"""From a template and values to an answer: escaping on, one strict policy, nothing kept by any cache."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from keyhouse.domain.model import retirement
from keyhouse.web.pages.documents import Document, kept_file
from keyhouse.web.pages.done import done_words
from keyhouse.web.pages.marks import logo_sheet, mark
from keyhouse.web.pages.verdict_words import VERDICT_WORDS
from keyhouse.web.pages.visit import Visit, is_fragment

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
# Forms name their origin, which a stricter referrer policy would hide from us as well.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "cookie, hx-request",
}


@cache
def files() -> Mapping[str, Document]:
    """Scripts, styles and the icon by the names that templates give them."""
    static = _HERE / "static"
    return {
        "css": kept_file(static, "keyhouse.css", "/static/"),
        "js": kept_file(static, "keyhouse.js", "/static/"),
        "unsaved_js": kept_file(static, "unsaved.js", "/static/"),
        "combo_js": kept_file(static, "combobox.js", "/static/"),
        "stream_js": kept_file(static, "answer-stream.js", "/static/"),
        "samples_js": kept_file(static, "code-samples.js", "/static/"),
        "try_js": kept_file(static, "try.js", "/static/"),
        "try_css": kept_file(static, "try.css", "/static/"),
        "htmx": kept_file(static / "htmx", "htmx.min.js", "/static/"),
        "icon": kept_file(static, "icon.svg", "/static/"),
        "logos": logo_sheet(),
    }


def rendered(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page that needs nobody to be signed in."""
    return HTMLResponse(_environment().get_template(template).render(values), status, HEADERS)


def page(visit: Visit, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one, for whoever is signed in."""
    return rendered(template, status, visit=visit, caller=visit.caller, csrf=visit.csrf, **values)


def moved(request: Request, address: str) -> Response:
    """On to another page."""
    if is_fragment(request):
        return Response(status_code=204, headers={**HEADERS, "hx-redirect": address})
    return Response(status_code=303, headers={**HEADERS, "location": address})


def moved_back(visit: Visit, address: str, done: str) -> Response:
    """Back to a list, to where somebody stood in it, which then says what was done."""
    return moved(visit.request, f"{address}{visit.place}{'&' if visit.place else '?'}done={done}")


@cache
def _environment() -> "Environment":
    # Some 2 MB, which a worker that shows no page does without.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ago": _ago, "until": _until, "retirement": _retirement, "count_of": "{:,}".format}
    environment.filters |= {"mark": mark, "verdict": VERDICT_WORDS.__getitem__, "done": done_words}
    environment.globals |= {"files": {name: file.path for name, file in files().items()}, "version": version("keyhouse")}
    return environment


def _ago(moment: datetime) -> Markup:
    return _time(moment, _past(moment, datetime.now(UTC)))


def _until(moment: datetime) -> Markup:
    now = datetime.now(UTC)
    return _time(moment, _future(moment, now) if moment > now else _past(moment, now))


def _retirement(day: date) -> str:
    return retirement(day, datetime.now(UTC).date())


def _future(moment: datetime, now: datetime) -> str:
    hours = round((moment - now).total_seconds() / 3600)
    if hours < 24:
        return "within the hour" if hours < 1 else "in an hour" if hours == 1 else f"in {hours} hours"
    days = round(hours / 24)
    return _day(moment) if days >= 60 else "in a day" if days == 1 else f"in {days} days"


def _past(moment: datetime, now: datetime) -> str:
    minutes = int((now - moment).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return "a minute ago" if minutes == 1 else f"{minutes} minutes ago"
    hours = minutes // 60
    if hours < 24:
        return "an hour ago" if hours == 1 else f"{hours} hours ago"
    days = hours // 24
    if days < 14:
        return "yesterday" if days == 1 else f"{days} days ago"
    return _day(moment)


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _time(moment: datetime, words: str) -> Markup:
    exact = f"{_day(moment)}, {moment:%H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(f"{moment:%Y-%m-%dT%H:%M:%SZ}", exact, words)
