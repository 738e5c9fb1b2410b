"""A body as one server of its format takes it, where that refuses what clients send by themselves. Pure; knows no provider.

That a model does not reason is left to the provider to tell: who asks for an effort wants to know.
"""

from keyhouse.domain.calling import Dialect, Refusable
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses

_TOLD_BY_THE_PROVIDER: Refusable = "reasoning_effort"


def foreign_keys(dialect: Dialect) -> tuple[bytes, ...]:
    """The keys to be looked for in a body, in quotes."""
    return tuple(f'"{name}"'.encode() for name in (*dialect.refuses, *dialect.renames) if name != _TOLD_BY_THE_PROVIDER)


def in_dialect(body: JsonObject, dialect: Dialect, losses: Losses) -> JsonObject:
    """The body without what the server refuses, and with its names of the rest; the given one where nothing had to change.

    Where a member stands there under the server's own name as well, that one counts.
    Raises Error `unsupported_parameter` where something would be left out and `drop_tuning_params` is false.
    """
    left_out = [name for name in dialect.refuses if name in body and name != _TOLD_BY_THE_PROVIDER]
    renamed = {name: own for name, own in dialect.renames.items() if name in body}
    if not left_out and not renamed:
        return body
    for name in left_out:
        if body[name] is not None:
            losses.drop(name, "The provider does not know it, and refuses what it does not know.")
    kept = {name: value for name, value in body.items() if name not in left_out and name not in renamed}
    added = {own: body[name] for name, own in renamed.items() if body[name] is not None}
    return {**added, **kept}
