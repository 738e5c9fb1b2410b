"""Leaves out of a Messages request who shares what is cached, for hosts that know no such scope and refuse it. Claude Code states it.

https://github.com/Portkey-AI/gateway/issues/1589 (2026-04-01), https://github.com/maximhq/bifrost/pull/1558 (2026-02-05).
"""

from typing import Any

from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses

_HOLDERS = ("system", "tools", "messages", "content")
"""The members whose elements bear markers, or hold others that do. What a tool takes or was called with is none of them."""


def may_hold_scopes(body: bytes) -> bool:
    """Whether a body is worth looking into for it."""
    return b'"scope"' in body


def without_scopes(body: JsonObject, losses: Losses) -> JsonObject:
    """The body with its `cache_control` as it is, but for `scope`. Raises Error as `Losses.drop` does."""
    control = body.get("cache_control")
    if isinstance(control, dict) and "scope" in control:
        losses.drop("cache_control.scope", "The provider's server knows no scope of a cache.")
        body = {**body, "cache_control": {name: value for name, value in control.items() if name != "scope"}}
    held = {name: [_without(each, losses) for each in body[name]] for name in _HOLDERS if isinstance(body.get(name), list)}
    return {**body, **held}


def _without(element: Any, losses: Losses) -> Any:
    return without_scopes(element, losses) if isinstance(element, dict) else element
