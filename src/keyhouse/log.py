"""The log: lines on standard error, as text or as JSON, all through one writer. No secret gets into a line, of an exception no message."""

import asyncio
import contextlib
import json
import logging
import os
import re
import select
import stat
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal

import structlog

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_FLUSH_AFTER_S = 0.1
_FLUSH_AT_LINES = 256
_LAST_PATIENCE_MS = 1000
_LONG_LINE_BYTES = 256
"""Most lines are shorter: so many of them that even long ones fit are looked at together."""
_FILE_BYTES = 256 * 1024
_MASK = "***"
_SECRET_NAME = re.compile(r"key|token|secret|password|passphrase|credential|authorization|cookie", re.IGNORECASE)
_HARMLESS_NAME = re.compile(r"(^|_)(id|ids|count|version)$", re.IGNORECASE)
# A token of ours, a session's included, and whatever stands between a URL's scheme and its host.
_SECRET_TEXT = re.compile(r"(sk-lw-)[A-Za-z0-9_]+|(?<=://)[^/\s@]+(?=@)|\b[A-Za-z0-9]{48,}\b")
_LIBRARIES_LEVEL = logging.WARNING


class LineWriter:
    """Writes lines to standard error: at once, or shortly after together with others. A log that cannot be written stops nothing.

    Nor does one that nobody reads, in a process that has an event loop or keeps lines: they wait then, and of more than `most_waiting` the
    oldest are dropped, which is told as soon as there is room. Elsewhere a line waits for its reader.
    """

    def __init__(self, most_waiting: int = 10_000) -> None:
        self._pending: deque[str] = deque()
        self._most_waiting = most_waiting
        self._dropped = 0
        self._keeps = False
        self._loop: asyncio.AbstractEventLoop | None = None
        # The loop that will flush what waits: one that ended will not.
        self._flushed_by: asyncio.AbstractEventLoop | None = None
        # Entered anew where a signal is handled, or what was dropped is told.
        self._lock = threading.RLock()

    def write(self, line: str) -> None:
        """Write a line now, after those that wait."""
        self._pending.append(line)
        self.flush()

    def write_soon(self, line: str) -> None:
        """Write a line within a tenth of a second. Outside an event loop: now."""
        self._pending.append(line)
        loop = asyncio._get_running_loop()
        if loop is None or len(self._pending) >= _FLUSH_AT_LINES:
            self.flush()
        elif self._flushed_by is not loop:
            self._flushed_by = loop
            loop.call_later(_FLUSH_AFTER_S, self._flush_due)

    def write_together(self, lines: Iterable[str]) -> None:
        """Write lines now, after those that wait."""
        self._pending.extend(lines)
        self.flush()

    def keep_lines(self) -> None:
        """From now on no line waits for its reader. Whoever calls this flushes, again and again while `has_lines`."""
        self._keeps = True

    @property
    def has_lines(self) -> bool:
        """Whether lines wait."""
        return bool(self._pending)

    def leave_lines(self) -> None:
        """In a process that was forked: the other one writes what waits."""
        self._pending.clear()
        self._dropped = 0

    def flush(self, *, last: bool = False) -> None:
        """Write what waits, as far as there is room for it; the last time, or when the loop has ended, wait a moment for that."""
        with self._lock:
            self._loop = asyncio._get_running_loop() or self._loop
            last |= self._loop is not None and self._loop.is_closed()
            is_file = bool(self._pending) and _is_file()
            keeps = not is_file and (self._loop is not None or self._keeps)
            while self._pending:
                if keeps and not _has_room(_LAST_PATIENCE_MS if last else 0):
                    self._wait(self._loop)
                    return
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(self._next_piece(_FILE_BYTES if is_file else select.PIPE_BUF))
                    sys.stderr.flush()
            dropped, self._dropped = self._dropped, 0
        if dropped:
            structlog.get_logger("keyhouse").error("lines of the log were dropped, because nobody read it", count=dropped)

    def _wait(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Try again later, and keep no more until then than may wait."""
        while len(self._pending) > self._most_waiting:
            self._pending.popleft()
            self._dropped += 1
        if loop is not None and self._flushed_by is not loop and not loop.is_closed():
            self._flushed_by = loop
            loop.call_soon_threadsafe(loop.call_later, _FLUSH_AFTER_S, self._flush_due)

    def _flush_due(self) -> None:
        self._flushed_by = None
        self.flush()

    def _next_piece(self, most_bytes: int) -> str:
        """Whole lines, together no more than is taken at once: of more, other workers' lines may come between, in the middle of one."""
        pending, room = self._pending, most_bytes
        if len(pending) <= most_bytes // _LONG_LINE_BYTES:
            together = "\n".join([*pending, ""])
            if together.isascii() and len(together) <= room:
                pending.clear()
                return together
        taken: list[str] = []
        while pending:
            line = pending[0]
            room -= (len(line) if line.isascii() else len(line.encode(errors="replace"))) + 1
            if room < 0 and taken:
                break
            taken.append(pending.popleft())
        return "\n".join([*taken, ""])


def _is_file() -> bool:
    """Whether standard error is a file, which always has room, and takes a piece of any size as one."""
    try:
        return stat.S_ISREG(os.fstat(sys.stderr.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _has_room(patience_ms: int) -> bool:
    """Whether standard error takes a piece by then; also where that cannot be known, or its reader is gone."""
    try:
        waiting = select.poll()
        waiting.register(sys.stderr.fileno(), select.POLLOUT)
    except (OSError, ValueError):
        return True
    return bool(waiting.poll(patience_ms))


WRITER = LineWriter()
os.register_at_fork(after_in_child=WRITER.leave_lines)


@lru_cache(maxsize=1)
def _second_text(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class AccessLines:
    """One line a request, put together without a logger: a few microseconds each. Holds no value that a caller chose."""

    def __init__(self, line_format: Format, writer: LineWriter = WRITER) -> None:
        self._write = writer.write_soon
        self._write_together = writer.write_together
        self.format = line_format
        self._template = _ACCESS_TEMPLATES[line_format]
        self._at_ms = -1
        self._moment = ""

    def moment(self, at: float) -> str:
        """A moment, in seconds since 1970, as lines begin with it. The last one's text is known: many end within a millisecond."""
        at_ms = int(at * 1000)
        if at_ms != self._at_ms:
            self._at_ms = at_ms
            self._moment = f"{_second_text(at_ms // 1000)}.{at_ms % 1000:03d}Z"
        return self._moment

    def write_lines(self, lines: Iterable[str]) -> None:
        """Write lines of another shape, which begin with their moments."""
        self._write_together(lines)

    def request(self, method: str, route: str, status: int, duration_ms: float, request_id: str) -> None:
        """Note a request. `route` is a route's template, never the path."""
        self._write(self._template % (self.moment(time.time()), method, route, status, duration_ms, request_id))


_ACCESS_TEMPLATES: Mapping[Format, str] = {
    "text": "%s info request method=%s route=%s status=%d duration_ms=%.3f request_id=%s",
    "json": (
        '{"timestamp":"%s","level":"info","event":"request","method":"%s","route":"%s","status":%d,"duration_ms":%.3f,"request_id":"%s"}'
    ),
}


def access_lines(line_format: Format, level: Level) -> AccessLines | None:
    """Where requests are noted, or None at a level that leaves them out."""
    return AccessLines(line_format) if level in ("debug", "info") else None


def configure_logging(line_format: Format, level: Level) -> None:
    """Send everything that is logged in this process, by libraries too, through one format, level and redaction.

    Libraries are heard from `warning` on: at lower levels they would write statements and requests down.
    """
    number = getattr(logging, level.upper())
    render = _RENDERERS[line_format]
    structlog.configure(
        processors=[structlog.processors.add_log_level, _explain_exception, _redact, _stamp, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *names: _Output(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(render)]
    root.setLevel(max(number, _LIBRARIES_LEVEL))
    logging.captureWarnings(True)
    sys.excepthook = _log_unforeseen
    threading.excepthook = lambda failure: _log_unforeseen(failure.exc_type, failure.exc_value, failure.exc_traceback)
    # What is raised where nobody can catch it, such as while an object is forgotten.
    sys.unraisablehook = lambda failure: _log_unforeseen(failure.exc_type, failure.exc_value, failure.exc_traceback)


def _log_unforeseen(_kind: type[BaseException], cause: BaseException | None, _traceback: TracebackType | None) -> None:
    """In the place of Python's traceback, which would print the exception's message."""
    structlog.get_logger("keyhouse").critical("unforeseen failure", **(described(cause) if cause else {}))


def described(cause: BaseException) -> dict[str, Any]:
    """An exception as the log tells it: its type, and the last places of its traceback. Messages may quote what a library choked on."""
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)]
    origin = cause.__cause__ or cause
    return {"cause": f"{type(origin).__module__}.{type(origin).__qualname__}", "places": places[-6:]}


def redacted(value: object, name: str = "") -> object:
    """A value as it may be logged: masked under a name that looks secret, and wherever a text holds one of our tokens."""
    if _SECRET_NAME.search(name) and not _HARMLESS_NAME.search(name) and value is not None:
        return _MASK
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda found: f"{found[1] or ''}{_MASK}", value)
    if isinstance(value, Mapping):
        return {str(key): redacted(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else type(value).__name__


class _Output:
    """What structlog writes rendered lines with."""

    def msg(self, line: str) -> None:
        WRITER.write(line)

    debug = info = warning = error = critical = msg


class _LibraryHandler(logging.Handler):
    """Brings the records of libraries into our format. Of a message only the first line: the rest of it may be somebody's repr.

    Of an exception in it only the kind: what sends spans quotes the receiver's address, and the secret that it may hold.
    """

    def __init__(self, render: "Callable[[Any, str, MutableMapping[str, Any]], str]") -> None:
        super().__init__()
        self._render = render

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        event: MutableMapping[str, Any] = {
            "level": record.levelname.lower(),
            "event": _message(record).strip().partition("\n")[0],
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[1] is not None:
            event.update(described(record.exc_info[1]))
        WRITER.write(self._render(None, "", _stamp(None, "", _redact(None, "", event))))


def _message(record: logging.LogRecord) -> str:
    given = record.args
    text, args = str(_kind(record.msg)), {name: _kind(value) for name, value in given.items()} if isinstance(given, Mapping) else given
    if isinstance(args, tuple):
        args = tuple(map(_kind, args))
    return text % args if args else text


def _kind(value: object) -> object:
    """An exception's type, with that of the first of its causes; anything else as it is."""
    if not isinstance(value, BaseException):
        return value
    first = value
    while (cause := first.__cause__ or first.__context__) is not None:
        first = cause
    return type(value).__name__ if first is value else f"{type(value).__name__} ({type(first).__name__})"


def _explain_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    given = event.pop("exc_info", None)
    cause = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if cause is not None:
        event.update(described(cause))
    return event


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: redacted(value, name) for name, value in event.items()}


def _stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"timestamp": moment, "level": event.pop("level"), "event": event.pop("event", ""), **event}


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"))


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level')} {_on_one_line(event.pop('event'))}"
    return " ".join([head, *(f"{name}={_text(value)}" for name, value in event.items())])


def _text(value: object) -> str:
    plain = value if isinstance(value, str) and value and not re.search(r'[\s"=\\]', value) and value.isprintable() else None
    return plain if plain is not None else json.dumps(value)


def _on_one_line(text: object) -> str:
    return "".join(character if character.isprintable() else " " for character in str(text))


_RENDERERS: Mapping[Format, Callable[[Any, str, MutableMapping[str, Any]], str]] = {"text": _as_text, "json": _as_json}
