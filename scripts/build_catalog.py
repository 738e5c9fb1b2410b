"""Writes src/keyhouse/catalog/models.json from the genai-prices package and scripts/catalog_overlay.toml. No network.

`--check` writes nothing and fails when the committed file is not what would be written, its date left aside.
"""

import argparse
import datetime
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

import msgspec
from genai_prices import types
from genai_prices.data import providers as source_providers

from keyhouse.catalog.catalog import BUNDLED_MODELS_FILE
from keyhouse.catalog.models_file import CatalogMode, CatalogModel, ModelsFile, PriceTier, Source, models_digest
from keyhouse.domain.model import MultimodalInput, SupportedParameter

OVERLAY = Path(__file__).with_name("catalog_overlay.toml")
SOURCE = "genai-prices"

PRICES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
}


class Said(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the overlay says of a model."""

    mode: CatalogMode | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    supported_parameters: tuple[SupportedParameter, ...] | None = None
    multimodal_inputs: tuple[MultimodalInput, ...] | None = None
    retires_on: datetime.date | None = None


class Rule(Said, kw_only=True):
    """Something said of all models whose final id matches."""

    match: tuple[str, ...]


class Added(Said, kw_only=True):
    """A model that the source lacks."""

    id: str


class ProviderOverlay(msgspec.Struct, forbid_unknown_fields=True):
    """One provider's table."""

    source: str | None = None
    only: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    prefix: str = ""
    rules: tuple[Rule, ...] = ()
    models: tuple[Added, ...] = ()


class Overlay(msgspec.Struct, forbid_unknown_fields=True):
    """The whole overlay."""

    as_of: datetime.date
    providers: dict[str, ProviderOverlay]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the committed file is not up to date")
    parser.add_argument("--overlay", type=Path, default=OVERLAY)
    parser.add_argument("--output", type=Path, default=BUNDLED_MODELS_FILE)
    options = parser.parse_args(arguments)
    overlay = msgspec.convert(tomllib.loads(options.overlay.read_text(encoding="utf-8")), Overlay)
    committed = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
    kept_date = _date_of(committed)
    current = rendered(overlay, kept_date or datetime.datetime.now(datetime.UTC).date().isoformat())
    if current == committed:
        print(f"{options.output} is up to date.")
        return 0
    if options.check:
        print(f"{options.output} is not what this script writes: run scripts/build_catalog.py and commit the result.", file=sys.stderr)
        return 1
    options.output.write_text(rendered(overlay, datetime.datetime.now(datetime.UTC).date().isoformat()), encoding="utf-8")
    print(f"{options.output} written.")
    return 0


def rendered(overlay: Overlay, date: str) -> str:
    """The models file: its provenance, then one model a line."""
    models = {name: tuple(models_of(name, entry, overlay.as_of)) for name, entry in overlay.providers.items()}
    file = ModelsFile(source=_provenance(), generated_at=date, models={}, digest=models_digest(models))
    lines = [f'"{key}": {_json(getattr(file, key))}' for key in ("source", "generated_at", "digest")]
    blocks = [f"{_json(name)}: [\n" + ",\n".join(map(_json, known)) + "\n]" for name, known in models.items()]
    return "{\n" + ",\n".join(lines) + ',\n"models": {\n' + ",\n".join(blocks) + "\n}\n}\n"


def models_of(name: str, entry: ProviderOverlay, as_of: datetime.date) -> list[CatalogModel]:
    """A provider's models, by id. Raises SystemExit where the overlay names what the source does not have."""
    listed = list(_listed(name, entry)) if entry.source else []
    noon = datetime.datetime.combine(as_of, datetime.time(12), datetime.UTC)
    known = [_from_source(_final_id(model.id, entry), model, noon) for model in listed]
    _require_used(name, (pattern for rule in entry.rules for pattern in rule.match), [model.id for model in known])
    models = [_ruled(model, entry.rules) for model in known]
    models += [msgspec.structs.replace(CatalogModel(id=added.id), **_said(added)) for added in entry.models]
    return sorted(models, key=lambda model: model.id)


def _listed(name: str, entry: ProviderOverlay) -> Iterator[types.ModelInfo]:
    models = next(provider.models for provider in source_providers if provider.id == entry.source)
    _require_used(name, [*(entry.only or ()), *entry.exclude, *entry.rename], [model.id for model in models])
    for model in models:
        wanted = entry.only is None or _matches(model.id, entry.only)
        if wanted and not model.deprecated and not _matches(model.id, entry.exclude):
            yield model


def _require_used(name: str, patterns: Iterable[str], ids: list[str]) -> None:
    unused = [pattern for pattern in patterns if not any(fnmatchcase(model_id, pattern) for model_id in ids)]
    if unused:
        raise SystemExit(f"The overlay of {name} names what is not there: {', '.join(unused)}")


def _final_id(model_id: str, entry: ProviderOverlay) -> str:
    return entry.rename.get(model_id) or entry.prefix + model_id


def _from_source(final_id: str, model: types.ModelInfo, moment: datetime.datetime) -> CatalogModel:
    prices = model.get_prices(moment).__dict__
    base: dict[str, float] = {}
    tiers: dict[int, dict[str, float]] = {}
    for key, name in PRICES.items():
        price = prices.get(key)
        if isinstance(price, types.TieredPrices):
            for tier in price.tiers:
                tiers.setdefault(tier.start, {})[name] = float(tier.price)
            price = price.base
        if price is not None:
            base[name] = float(price)
    return CatalogModel(
        id=final_id,
        context_window=model.context_window,
        prices=base,
        price_tiers=tuple(PriceTier(start, tiers[start]) for start in sorted(tiers)),
    )


def _ruled(model: CatalogModel, rules: Iterable[Rule]) -> CatalogModel:
    said: dict[str, object] = {}
    for rule in rules:
        if _matches(model.id, rule.match):
            said |= _said(rule)
    return msgspec.structs.replace(model, **said)


def _said(entry: Said) -> dict[str, object]:
    return {name: value for name in Said.__struct_fields__ if (value := getattr(entry, name)) is not None}


def _matches(model_id: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(model_id, pattern) for pattern in patterns)


def _provenance() -> Source:
    facts = metadata.metadata(SOURCE)
    return Source(
        name=SOURCE,
        version=metadata.version(SOURCE),
        licence=facts["License-Expression"],
        url="https://github.com/pydantic/genai-prices",
    )


def _date_of(text: str) -> str | None:
    try:
        return str(msgspec.json.decode(text)["generated_at"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    sys.exit(main())
