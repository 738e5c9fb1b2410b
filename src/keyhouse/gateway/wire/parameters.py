"""Decides what becomes of each top-level parameter of a caller's request, by the table `parameters.toml`. Parses no values."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from keyhouse.gateway.wire.fields import JsonObject, unknown, unsupported
from keyhouse.gateway.wire.losses import Losses

CallerFormat = Literal["openai_chat", "openai_responses", "anthropic_messages"]
UpstreamFormat = Literal["openai_chat", "openai_responses", "anthropic_messages", "bedrock_converse"]
Action = Literal["mapped", "dropped", "refused", "gateway"]

DROP_TUNING_PARAMS = "drop_tuning_params"

_FORMAT_NAMES: dict[UpstreamFormat, str] = {
    "openai_chat": "Chat Completions",
    "openai_responses": "Responses",
    "anthropic_messages": "the Messages API",
    "bedrock_converse": "the Converse API",
}


class Row(msgspec.Struct, frozen=True):
    """One parameter of a caller's format; see `parameters.toml` for the members. `actions` and `places` are by upstream format."""

    name: str
    example: str
    actions: dict[UpstreamFormat, Action]
    places: dict[UpstreamFormat, str]
    neutral: tuple[Any, ...] = ()
    note: str = ""
    error_code: str | None = None

    @property
    def is_top_level(self) -> bool:
        """Whether the row speaks of a whole parameter; others are decided where their values are parsed."""
        return "." not in self.name and "[" not in self.name


def _row(data: JsonObject) -> Row:
    upstreams: dict[UpstreamFormat, JsonObject] = {name: data[name] for name in _FORMAT_NAMES if name in data}
    return Row(
        name=data["name"],
        example=data["example"],
        actions={name: entry["action"] for name, entry in upstreams.items()},
        places={name: entry["to"] for name, entry in upstreams.items() if "to" in entry},
        neutral=tuple(data.get("neutral", ())),
        note=data.get("note", ""),
        error_code=data.get("error_code"),
    )


_data = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text(encoding="utf-8"))
TABLE: dict[CallerFormat, tuple[Row, ...]] = {
    "openai_chat": tuple(_row(row) for row in _data["openai_chat"]),
    "openai_responses": tuple(_row(row) for row in _data["openai_responses"]),
    "anthropic_messages": tuple(_row(row) for row in _data["anthropic_messages"]),
}
_by_name = {caller: {row.name: row for row in rows if row.is_top_level} for caller, rows in TABLE.items()}


def losses_of(body: JsonObject) -> Losses:
    """Where is noted what becomes of a request. Raises Error when its `drop_tuning_params` is not a boolean."""
    value = body.get(DROP_TUNING_PARAMS)
    if value is not None and not isinstance(value, bool):
        raise unsupported(DROP_TUNING_PARAMS, "It must be true or false.")
    return Losses(drops_allowed=value is not False)


def without_switch(body: JsonObject) -> JsonObject:
    """The body without `drop_tuning_params`, which is said to the gateway alone."""
    return {name: value for name, value in body.items() if name != DROP_TUNING_PARAMS}


def kept_parameters(body: JsonObject, caller: CallerFormat, upstream: UpstreamFormat, losses: Losses) -> JsonObject:
    """The body without what is neutral or dropped; drops are noted in `losses`. Raises Error (`unsupported_parameter`) for the rest."""
    rows = _by_name[caller]
    kept = {}
    for name, value in body.items():
        if value is None:
            continue
        row = rows.get(name)
        if row is None:
            raise unknown(name[:100])
        if any(_same(value, neutral) for neutral in row.neutral):
            continue
        action = row.actions[upstream]
        if action == "refused":
            reason = f"{_FORMAT_NAMES[upstream]}, which this model is called by, has nothing like it."
            raise unsupported(name, reason, error_code=row.error_code)
        if action == "dropped":
            losses.drop(name, f"{_FORMAT_NAMES[upstream]} has nothing like it.")
        else:
            kept[name] = value
    return kept


def _same(value: object, neutral: object) -> bool:
    """Equality as JSON has it: true is not 1."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
