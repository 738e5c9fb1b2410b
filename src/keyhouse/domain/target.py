"""Everything one upstream call needs, secrets opened. Made from memory for a model of a project, and never stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyhouse.domain.calling import Dialect, EndpointName, Signing, Wire
from keyhouse.domain.model import CustomModel


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Target:
    """A model at a provider, and how its endpoint is called. Two targets are never equal; one prints as `***`.

    `model_id` is the provider's own id of the model, `upstream_model` what a body says. `endpoint` is the one that is called, which is
    `chat` where another one is translated to it. `url` and `stream_url` are whole. `headers` are the project's own, and replace a caller's
    of the same name; `fixed_headers` are sent where neither has one of the name. `signing` adds the credentials from `values`, None where a
    header of the project's own replaces them or none are stored. `declared` is what the project says of the model, `max_output_tokens` what
    is known of it; `dialect` is the endpoint's, which refuses what the model itself is known not to take as well. `instead` is to be called
    where the server at an address of the project's own turns out not to have this endpoint.
    """

    provider: str
    model_id: str
    upstream_model: str
    endpoint: EndpointName
    wire: Wire
    url: str
    stream_url: str
    headers: tuple[tuple[str, str], ...] = ()
    fixed_headers: tuple[tuple[str, str], ...] = ()
    signing: Signing | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    declared: CustomModel | None = None
    temperature_range: tuple[float, float] | None = None
    max_output_tokens: int | None = None
    dialect: Dialect = field(default_factory=Dialect)
    instead: "Target | None" = None

    def __repr__(self) -> str:
        return "***"

    def secrets(self) -> tuple[str, ...]:
        """Every stored value that goes into a call and may not come back: of the headers, and what the signing is made of."""
        parts = self.signing.parts.values() if self.signing is not None else ()
        signed = tuple(self.values.get(name, "") for name in parts)
        return tuple(value for value in (*signed, *(value for _, value in (*self.headers, *self.fixed_headers))) if value)
