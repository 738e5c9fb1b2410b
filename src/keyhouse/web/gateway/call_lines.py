"""The gateway's line in the log for each request that has ended. It holds nothing that a caller chose: no model, no path, no text."""

import time
from collections.abc import Mapping, Sequence

from keyhouse.gateway.observation import Observation
from keyhouse.log import AccessLines, Format

_FIELDS = (
    *("method", "route", "status", "duration_ms", "added_ms", "provider", "stream"),
    *("input_tokens", "output_tokens", "retries", "code", "project_id", "request_id"),
)
# What differs from line to line; everything else is written into a template once.
_PLACES = {"duration_ms": "%.3f", "input_tokens": "%s", "output_tokens": "%s", "request_id": "%s"}
_QUOTED = frozenset({"method", "route", "provider", "code", "project_id", "request_id"})
_HEADS: Mapping[Format, str] = {"text": "%s info request", "json": '{"timestamp":"%s","level":"info","event":"request"'}
# Methods that a line may name: a caller can make up others.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REMEMBERED = 1024

_Kind = tuple[str, str, int, str, bool, int, str, str, bool]


class CallLines:
    """Writes them, about a microsecond each."""

    def __init__(self, lines: AccessLines) -> None:
        self._lines = lines
        self._json = lines.format == "json"
        self._nothing = "null" if self._json else "-"
        self._templates: dict[_Kind, str] = {}

    def write(self, observations: Sequence[Observation]) -> None:
        """Note requests that have ended."""
        clocks_apart = time.time() - time.perf_counter()
        self._lines.write_lines([self._line(observation, observation.ended_at + clocks_apart) for observation in observations])

    def _line(self, noted: Observation, ended_at: float) -> str:
        answered_at, usage, nothing = noted.answered_at, noted.usage, self._nothing
        is_answered = answered_at is not None
        # fmt: off
        kind = (noted.method, noted.route, noted.status, noted.provider, noted.streams, noted.retries, noted.code, noted.project_id,
                is_answered)
        # fmt: on
        template = self._templates.get(kind) or self._template(kind)
        return template % (
            self._lines.moment(ended_at),
            (noted.ended_at - noted.started_at) * 1000,
            None if answered_at is None else (answered_at - noted.started_at - noted.upstream_s) * 1000,
            nothing if usage is None else usage.prompt_tokens,
            nothing if usage is None else usage.output_tokens,
            noted.request_id,
        )

    def _template(self, kind: _Kind) -> str:
        method, route, status, provider, streams, retries, code, project_id, is_answered = kind
        unnamed = "" if self._json else "-"
        yes, no = ("true", "false") if self._json else ("yes", "no")
        known = {
            "method": method if method in _METHODS else "other",
            "route": route,
            "status": str(status),
            "provider": provider or unnamed,
            "stream": yes if streams else no,
            "retries": str(retries),
            "code": code or unnamed,
            "project_id": project_id or unnamed,
        }
        # The second shows nothing of what is given for its place.
        places = {**_PLACES, "added_ms": "%.3f" if is_answered else f"%.0s{self._nothing}"}
        shown = {name: places.get(name) or known[name].replace("%", "%%") for name in _FIELDS}
        if self._json:
            members = (f'"{name}":"{text}"' if name in _QUOTED else f'"{name}":{text}' for name, text in shown.items())
            template = f"{_HEADS['json']},{','.join(members)}}}"
        else:
            template = " ".join([_HEADS["text"], *(f"{name}={text}" for name, text in shown.items())])
        if len(self._templates) >= _REMEMBERED:
            self._templates.clear()
        self._templates[kind] = template
        return template
