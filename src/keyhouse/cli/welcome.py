"""What `keyhouse serve` says on standard output: everything on the first start, without a secret on every later one."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from keyhouse.services.first_start import FirstKeys
from keyhouse.settings import Settings
from keyhouse.storage.database_url import SqliteFile, parse_database_url

_ROOT = Path(__file__).resolve().parents[3]
"""The clone that this runs in, where it does."""
_BODY = '{"enabled": true, "customKeys": {"OPENAI_API_KEY": "sk-your-key"}}'
_PYTHON_BODY = '{"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-your-key"}}'


def welcome(settings: Settings, address: str, first: FirstKeys | None) -> str:
    """The text, ending in a line break. `first` holds the keys that this start made; they are shown this once."""
    if first is None:
        return f"Keyhouse serves {address}\n\n{_places(settings, address)}\n{_later(settings)}"
    parts = (_keys(first), _sign_in(address, first), _examples(address, first.project_key), _places(settings, address))
    return "\n".join([f"Keyhouse serves {address}\n", *parts]) + "\n"


def farewell_to_keys() -> str:
    """What to do when the keys were made and could not be shown."""
    return (
        "Standard output cannot be written, so the keys of the first start were not shown. Make new ones: "
        "keyhouse api-key create NAME, keyhouse project regenerate-api-key."
    )


def _through() -> str:
    """What commands are run through in a clone; where Keyhouse is installed, they are found as they are."""
    return "uv run " if (_ROOT / "pyproject.toml").exists() else ""


def _later(settings: Settings) -> str:
    where = "".join(f" {option} {shlex.quote(value)}" for option, value in _where(settings))
    needed = ", with KEYHOUSE_DATABASE_URL or KEYHOUSE_DATABASE_URL_FILE as this server has it" if _hides_password(settings) else ""
    return f"""\
Keys are shown when they are made. To make new ones{needed}:

{_through()}keyhouse project regenerate-api-key{where}
{_through()}keyhouse api-key create NAME{where}
"""


def _where(settings: Settings) -> Iterator[tuple[str, str]]:
    """The options by which a command finds the same data. A URL that may hold a password is left to the environment."""
    if settings.uses_data_dir and settings.data_dir != Settings.model_fields["data_dir"].default:
        yield "--data-dir", str(settings.data_dir.absolute())
    if settings.database_url is None:
        return
    database = parse_database_url(settings.url)
    if isinstance(database, SqliteFile):
        yield "--database-url", f"sqlite:///{database.path.absolute()}"
    elif not _hides_password(settings):
        yield "--database-url", settings.url


def _hides_password(settings: Settings) -> bool:
    database = parse_database_url(settings.url)
    return not isinstance(database, SqliteFile) and database.shown != settings.url


def _keys(first: FirstKeys) -> str:
    return f"""\
Two keys, shown this once. Keep them as you keep passwords.

  project key  {first.project_key}
               for applications: reads and changes this project's providers
  admin key    {first.admin_key}
               for you: makes projects, teams and API keys of the organization
"""


def _sign_in(address: str, first: FirstKeys) -> str:
    return f"""\
Open the settings page, signed in. This address works once, within 24 hours:

{address}/sign-in#once={first.sign_in_token}
"""


def _examples(address: str, key: str) -> str:
    return f"""\
Store a provider's credentials:

curl -X PUT {address}/api/model-providers/openai -H 'X-Auth-Token: {key}' \\
  -H 'Content-Type: application/json' -d '{_BODY}'

Read them back, masked:

curl {address}/api/model-providers -H 'X-Auth-Token: {key}'

The same with LangWatch's Python client, unchanged:

export LANGWATCH_ENDPOINT={address} LANGWATCH_API_KEY={key}
{_through()}python3 -c 'import langwatch; langwatch.model_providers.set("openai", params={_PYTHON_BODY})'

No provider at hand? A small one ships with Keyhouse, and prints how to store and call it:

{_through()}keyhouse demo-upstream
"""


def _places(settings: Settings, address: str) -> str:
    lines = [
        ("settings page", f"{address}/"),
        ("API document", f"{address}/docs and {address}/openapi.json"),
        ("gateway", f"{address}/v1 as base URL of an OpenAI client, {address} of an Anthropic client"),
        ("database", settings.shown_database),
        ("encryption keys", _key_ring(settings)),
    ]
    return "".join(f"  {name:<16} {value}\n" for name, value in lines)


def _key_ring(settings: Settings) -> str:
    if settings.keys is not None:
        return "from KEYHOUSE_KEYS. Back them up: without them nothing that is stored can be read."
    return f"{settings.key_ring_file.absolute()}\n{'':<19}Back this file up: without it nothing that is stored can be read."
