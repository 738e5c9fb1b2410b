"""What the edge writes to the log: a failure with its cause's type and place, never a value of the request or of the house."""

import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

_log = structlog.get_logger("keyhouse")


def log_failure(scope: MutableMapping[str, Any], cause: BaseException) -> None:
    """A request that failed on our side. Of the traceback only the places: messages of libraries may quote what they choked on."""
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)]
    origin = cause.__cause__ or cause
    _log.error(
        "request failed",
        method=scope["method"],
        route=scope["path"].split("/")[1:3],
        cause=f"{type(origin).__module__}.{type(origin).__qualname__}",
        code=getattr(cause, "code", None),
        places=places[-6:],
    )
