"""docs/catalog.md: its examples work, and it names every key there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.catalog.models_file import CatalogModel
from keyhouse.catalog.provider_file import (
    CallingEntry,
    CheckEntry,
    EndpointEntry,
    FieldEntry,
    ProviderFile,
    RouteEntry,
    read_provider_file,
)
from keyhouse.domain.calling import EndpointName

PAGE = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def keys() -> Iterator[str]:
    for entry in (ProviderFile, FieldEntry, CallingEntry, RouteEntry, EndpointEntry, CheckEntry, CatalogModel):
        yield from entry.__struct_fields__
    yield from get_args(EndpointName)


def test_the_pages_provider_file_is_a_provider() -> None:
    position, spec = read_provider_file("acme.toml", example("toml"))

    assert position > 0
    assert spec.calling is not None
    (route,) = spec.calling.routes
    assert route.url("/chat/completions", {}, spec.base_url) == "https://api.acme.example/v1/chat/completions"


def test_the_pages_models_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(example("json"), encoding="utf-8")

    catalog = load_catalog(path)

    assert catalog.models("openai", "chat") == ("gpt-6-luna",)
    assert catalog.models("openai", "embedding") == ("text-embedding-3-small",)


@pytest.mark.parametrize("key", sorted(set(keys())))
def test_the_page_names_every_key(key: str) -> None:
    assert f"`{key}`" in PAGE
