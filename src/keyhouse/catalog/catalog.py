"""Which providers and models exist: loads and checks the data files once, and answers from memory. No network, no provider's name."""

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from keyhouse.catalog.models_file import CatalogMode, CatalogModel, ModelsFile, Source, read_models_file
from keyhouse.catalog.provider_file import read_provider_file
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.provider_spec import ProviderSpec

_FOLDER = Path(__file__).parent
BUNDLED_MODELS_FILE = _FOLDER / "models.json"
BUNDLED_PROVIDERS = _FOLDER / "providers"


class Catalog:
    """The registry of providers and the models known of each. Immutable."""

    __slots__ = ("_ids", "_models", "_spelt", "digest", "generated_at", "providers", "source")

    def __init__(self, providers: Iterable[ProviderSpec], models_file: ModelsFile, digest: str) -> None:
        self.providers: Mapping[str, ProviderSpec] = MappingProxyType({spec.id: spec for spec in providers})
        """Ids to specs, in registry order."""
        self.digest = digest
        """A short hash of the registry and the models: it changes when either does."""
        self.generated_at = models_file.generated_at
        """The day the models were put together, as YYYY-MM-DD."""
        self.source: Source = models_file.source
        known = {provider: models for provider, models in models_file.models.items() if provider in self.providers}
        self._models = {provider: {model.id: model for model in models} for provider, models in known.items()}
        self._ids = {provider: _ids_by_mode(models) for provider, models in known.items()}
        self._spelt = {name: spec for spec in self.providers.values() for name in (spec.id, *spec.spellings)}

    def provider(self, provider_id: str) -> ProviderSpec | None:
        """The provider of exactly this id."""
        return self.providers.get(provider_id)

    def required(self, provider_id: str) -> ProviderSpec:
        """The provider of this id. Raises Error `not_found`, which says what another spelling of one is called here."""
        spec = self.provider(provider_id)
        if spec is None:
            meant = self.provider_spelt(provider_id)
            called = "" if meant is None else f" It is called {meant.id} here."
            raise Error(Code.NOT_FOUND, f"There is no such model provider.{called}")
        return spec

    def provider_spelt(self, name: str) -> ProviderSpec | None:
        """The provider of this id or of this other spelling of it."""
        return self._spelt.get(name)

    def models(self, provider_id: str, mode: CatalogMode) -> tuple[str, ...]:
        """The ids of a provider's models of one mode, without the provider's prefix; empty where none is known."""
        return self._ids.get(provider_id, {}).get(mode, ())

    def all_models(self, provider_id: str) -> tuple[str, ...]:
        """The ids of all models known of a provider, of every mode."""
        return tuple(self._models.get(provider_id, ()))

    def model(self, provider_id: str, model_id: str) -> CatalogModel | None:
        """What is known of one model of a provider."""
        return self._models.get(provider_id, {}).get(model_id)

    def ends(self, provider_id: str) -> dict[str, datetime.date]:
        """The days on which a provider ends its models, as far as they are known, by the models' ids."""
        known = self._models.get(provider_id, {}).values()
        return {model.id: model.retires_on for model in known if model.retires_on is not None}

    def retiring(self, by: datetime.date) -> dict[str, datetime.date]:
        """The models, as `provider/model`, that their providers end on this day or have ended before it, and the days."""
        return {f"{provider}/{model}": day for provider in self._models for model, day in self.ends(provider).items() if day <= by}

    def provider_of_prefix(self, model_id: str) -> ProviderSpec | None:
        """The provider whose models begin like this one."""
        return next((spec for spec in self.providers.values() if model_id.startswith(spec.model_prefixes)), None)


def load_catalog(models_file: Path | None = None) -> Catalog:
    """The catalogue from the bundled provider files and a models file, the bundled one unless another is named.

    Raises Error `configuration` with a sentence that names the file and what is wrong with it.
    """
    return load_catalog_from(BUNDLED_PROVIDERS, models_file or BUNDLED_MODELS_FILE)


def load_catalog_from(providers: Path, models_file: Path) -> Catalog:
    """The catalogue from a folder of provider files and a models file."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(providers.glob("*.toml"))}
    models = read_models_file(models_file)
    return Catalog(_in_order(texts), models, _digest(texts, models_file))


def _in_order(texts: Mapping[str, str]) -> list[ProviderSpec]:
    read = {name: read_provider_file(name, text) for name, text in texts.items()}
    taken: dict[object, str] = {}
    for name, (position, spec) in read.items():
        for claim in (position, spec.id, *spec.spellings):
            if taken.setdefault(claim, name) != name:
                raise Error(Code.CONFIGURATION, f"The provider files {taken[claim]} and {name} both claim {claim!r}.")
    return [spec for _, spec in sorted(read.values(), key=lambda entry: entry[0])]


def _digest(texts: Mapping[str, str], models_file: Path) -> str:
    digest = hashlib.sha256(models_file.read_bytes())
    for name, text in texts.items():
        digest.update(f"\0{name}\0{text}".encode())
    return digest.hexdigest()[:16]


def _ids_by_mode(models: Iterable[CatalogModel]) -> dict[CatalogMode, tuple[str, ...]]:
    ids: dict[CatalogMode, list[str]] = {}
    for model in models:
        ids.setdefault(model.mode, []).append(model.id)
    return {mode: tuple(names) for mode, names in ids.items()}
