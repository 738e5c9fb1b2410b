"""The settings: every KEYHOUSE_* variable, each secret also as KEYHOUSE_*_FILE. The only reader of the environment."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from keyhouse.domain.errors import Code, Error
from keyhouse.environment import PREFIX
from keyhouse.storage.database_url import SqliteFile, parse_database_url

SECRETS = ("keys", "admin_key", "database_url", "api_key", "https_proxy", "http_proxy")
"""Settings that may also come from a file, whose path stands in the variable of that name and `_FILE`."""
_DEFAULT_PORT = 5560
# `app://obsidian.md` and `vscode-webview://id` are origins as well.
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]+")


def _outgoing(name: str, description: str) -> Any:
    """A setting that has its usual name in the environment too, without our prefix."""
    choices = AliasChoices(f"{PREFIX}{name}".upper(), name.upper())
    return Field(None, validation_alias=choices, description=f"{description} Also read as {name.upper()}.")


class Settings(BaseSettings):
    """Everything that can be set. A command's option comes before the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(_DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data_dir: Path = Field(Path("keyhouse-data"), description="Folder of the key file and of the SQLite database.")
    database_url: SecretStr | None = Field(
        None,
        description="The database: `sqlite:///path` or `postgresql://user:password@host/name`. Default: SQLite in the data folder.",
    )
    keys: SecretStr | None = Field(None, description="The key ring itself, `id=base64` separated by commas, instead of the key file.")
    key_file: Path | None = Field(None, description="The key ring's file, made by the first start. Default: `keyring` in the data folder.")
    admin_key: SecretStr | None = Field(None, description="The instance key. Set, it switches on /api/organizations.")
    workers: int = Field(1, ge=1, le=64, description="How many processes serve, at most 64.")
    log_format: Literal["text", "json"] = Field("text", description="How log lines are written: `text` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Which log lines are written: from `debug`, `info`, `warning` or `error` on."
    )
    accept_unreadable: bool = Field(False, description="Start although some stored values cannot be opened.")
    keep_secrets_on_endpoint_change: bool = Field(
        False, description="Let stored credentials go along to a changed address. Whoever holds a project key could then read them."
    )
    models_file: Path | None = Field(None, description="A newer models.json than the one that comes with this release.")
    shutdown_timeout_s: int = Field(
        300, ge=0, le=86_400, description="How long open requests may take to finish after a signal to stop, in seconds."
    )
    upstream_connect_timeout_s: float = Field(
        10, gt=0, description="How long a connection to a provider may take to be made, name lookup, proxy and TLS included, in seconds."
    )
    upstream_first_byte_timeout_s: float = Field(600, gt=0, description="How long a provider may take to begin its answer, in seconds.")
    upstream_idle_timeout_s: float = Field(300, gt=0, description="How long a provider may pause inside an answer, in seconds.")
    upstream_retries: int = Field(2, ge=0, le=2, description="How often a call of a provider is tried again where that is safe, at most 2.")
    allow_private_addresses: bool = Field(True, description="Let providers have private and loopback addresses.")
    allowed_addresses: str = Field(
        "", description="Hosts and networks (`10.0.0.0/8`) that providers may have although private addresses are not allowed, by commas."
    )
    allowed_origins: str = Field(
        "",
        description="Origins (`https://chat.example.com`) whose pages may call the gateway from a browser, by commas; `*`: everybody's.",
    )
    max_request_bytes: int = Field(32 * 1024 * 1024, gt=0, description="How large the body of a gateway request may be, in bytes.")
    max_calls_per_project: int = Field(
        1536, gt=0, description="How many gateway calls of one project may be under way at once in each process."
    )
    ca_file: Path | None = Field(None, description="Certificates, in PEM form, of authorities to trust for providers beside the system's.")
    https_proxy: SecretStr | None = _outgoing("https_proxy", "HTTP proxy for https addresses of providers.")
    http_proxy: SecretStr | None = _outgoing("http_proxy", "HTTP proxy for http addresses of providers.")
    no_proxy: str | None = _outgoing("no_proxy", "Hosts, addresses and networks to reach without a proxy, by commas.")
    ssl_cert_file: str | None = _outgoing("ssl_cert_file", "Certificates to trust instead of the system's.")
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        validation_alias=AliasChoices(f"{PREFIX}TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"),
        description="Addresses and networks (`10.0.0.0/8`) of proxies in front of Keyhouse whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed, by commas; `*`: everybody's. Also read as FORWARDED_ALLOW_IPS.",
    )
    metrics_public: bool = Field(False, description="Let anybody read /metrics, from other machines too and without the instance key.")
    tracing: bool = Field(
        False,
        description="Send OpenTelemetry spans of calls to where the OTEL_* variables say. "
        "Needs an extra: `uv sync --extra tracing`, or `keyhouse[tracing]`.",
    )
    endpoint: str | None = Field(None, description="For commands: the address of a running server to work against.")
    api_key: SecretStr | None = Field(None, description="For commands: the API key to send to that server.")
    project: str | None = Field(None, description="For commands: the project to work on, its id or slug.")
    organization: str | None = Field(None, description="For commands: the organization to work on, its id or slug.")

    @field_validator("port", mode="before")
    @classmethod
    def _ignore_service_link(cls, value: object) -> object:
        """Kubernetes and Docker links put `KEYHOUSE_PORT=tcp://address:port` beside every service called keyhouse. It is not ours."""
        return _DEFAULT_PORT if isinstance(value, str) and value.startswith("tcp://") else value

    @field_validator(*SECRETS, mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        """Variables that are made from files often end in a line's end. Of nothing but white space there is nothing left."""
        return value.strip() or None if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        """As browsers spell them: without a path, or `null`, which sandboxed pages send."""
        entries = [entry for part in value.split(",") if (entry := part.strip().lower())]
        if not all(entry.isascii() and _ORIGIN.fullmatch(entry) for entry in entries):
            raise ValueError("each must be an origin such as https://chat.example.com, without a path")
        return ",".join(entries)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        """A name would never be one: who connects has an address."""
        entries = [entry.strip() for entry in value.split(",")]
        for entry in [] if entries == ["*"] else entries:
            try:
                ip_network(entry)
            except ValueError:
                raise ValueError("each must be an address or a network such as 10.0.0.0/8") from None
        return ",".join(entries)

    @property
    def origins(self) -> frozenset[bytes]:
        """The origins whose pages may call the gateway."""
        return frozenset(entry.encode() for entry in self.allowed_origins.split(",") if entry)

    @property
    def url(self) -> str:
        """The database's URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'keyhouse.db'}"

    @property
    def key_ring_file(self) -> Path:
        """Where the key file is."""
        return self.key_file or self.data_dir / "keyring"

    @property
    def uses_data_dir(self) -> bool:
        """Whether anything is kept in the data folder."""
        return self.database_url is None or (self.keys is None and self.key_file is None)

    @property
    def shown_database(self) -> str:
        """Where the database is, for people, without user or password. Raises Error `configuration` for a URL that names none."""
        database = parse_database_url(self.url)
        if isinstance(database, SqliteFile):
            return str(database.path.absolute())
        scheme, _, named = database.shown.partition("://")
        return f"{scheme}://{named.rpartition('@')[2]}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options, then variables, then files that variables name. No .env file: what is in force should be seen."""
        return init_settings, env_settings, _SecretFiles(settings_cls)


class _SecretFiles(PydanticBaseSettingsSource):
    """KEYHOUSE_ADMIN_KEY_FILE and its like."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if field_name not in SECRETS or not path:
            return None, field_name, False
        try:
            text = Path(path).read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as problem:
            name = f"{PREFIX}{field_name.upper()}_FILE"
            why = problem.strerror if isinstance(problem, OSError) else "it is not text"
            raise Error(Code.CONFIGURATION, f"The file that {name} names cannot be read: {path} ({why}).") from None
        if not text:
            raise Error(Code.CONFIGURATION, f"The file that {PREFIX}{field_name.upper()}_FILE names is empty: {path}")
        return text, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def read_settings(**options: object) -> Settings:
    """The settings, options that are None left out. Raises Error `configuration`, naming each setting that is wrong, never a value."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as refused:
        found = [(str(error["loc"][0]).upper(), error["msg"]) for error in refused.errors(include_input=False)]
        wrong = [f"{PREFIX}{name.removeprefix(PREFIX)}: {message.removeprefix('Value error, ')}" for name, message in found]
        raise Error(Code.CONFIGURATION, f"These settings are wrong: {'; '.join(wrong)}.") from None


def unknown_variables() -> list[str]:
    """Variables that look like settings and are none. What Kubernetes sets for a service called keyhouse does not count."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}
    links = (f"{PREFIX}PORT_", f"{PREFIX}SERVICE_")
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known and not name.startswith(links))
