"""The gateway's line in the log for each request that has ended. It holds nothing that a caller chose: no model, no path, no text."""

from collections.abc import Mapping

from keyhouse.gateway.observation import Observation
from keyhouse.log import AccessLines, Format

_FIELDS = (
    *("method", "route", "status", "duration_ms", "added_ms", "provider", "stream"),
    *("input_tokens", "output_tokens", "retries", "code", "project_id", "request_id"),
)
_PLACES = {"status": "%d", "duration_ms": "%.3f", "retries": "%d"}
_QUOTED = frozenset({"method", "route", "provider", "code", "project_id", "request_id"})
_TEMPLATES: Mapping[Format, str] = {
    "text": "%s.%03dZ info request " + " ".join(f"{name}={_PLACES.get(name, '%s')}" for name in _FIELDS),
    "json": '{"timestamp":"%s.%03dZ","level":"info","event":"request",'
    + ",".join(f'"{name}":' + ('"%s"' if name in _QUOTED else _PLACES.get(name, "%s")) for name in _FIELDS)
    + "}",
}
# Methods that a line may name: a caller can make up others.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class CallLines:
    """Writes them, a few microseconds each."""

    def __init__(self, lines: AccessLines) -> None:
        self._write = lines.write
        self._template = _TEMPLATES[lines.format]
        self._nothing = "null" if lines.format == "json" else "-"
        self._unnamed = "" if lines.format == "json" else "-"
        self._yes_no = ("false", "true") if lines.format == "json" else ("no", "yes")

    def observe(self, observation: Observation) -> None:
        """Note a request that has ended."""
        added_s = observation.added_s
        usage = observation.usage
        unnamed = self._unnamed
        self._write(
            self._template,
            (
                observation.method if observation.method in _METHODS else "other",
                observation.route,
                observation.status,
                observation.duration_s * 1000,
                self._nothing if added_s is None else f"{added_s * 1000:.3f}",
                observation.provider or unnamed,
                self._yes_no[observation.streams],
                self._nothing if usage is None else usage.prompt_tokens,
                self._nothing if usage is None else usage.output_tokens,
                observation.retries,
                observation.code or unnamed,
                observation.project_id or unnamed,
                observation.request_id,
            ),
        )
