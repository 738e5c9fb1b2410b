"""The options of `keyhouse provider set`. Knows their form, not what they mean for a provider."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from keyhouse.cli.exit_codes import CommandError, ExitCode

_CREDENTIALS = "Credentials"
_MODELS = "Models"


@dataclass(frozen=True)
class ProviderFields:
    """What a person wants to change."""

    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether it is used. A new provider is, unless you say otherwise.")
    ] = None
    secret: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a secret field; you are asked for its value. NAME=- reads it from standard input.",
            metavar="NAME",
            rich_help_panel=_CREDENTIALS,
        ),
    ] = None
    secret_file: Annotated[
        list[str] | None,
        typer.Option(help="A secret field whose value is a file's content.", metavar="NAME=PATH", rich_help_panel=_CREDENTIALS),
    ] = None
    public: Annotated[
        list[str] | None,
        typer.Option(help="A field that is no secret, such as OPENAI_BASE_URL.", metavar="NAME=VALUE", rich_help_panel=_CREDENTIALS),
    ] = None
    header: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of an extra header; you are asked for its value, which is a secret. NAME=- reads it from standard input.",
            metavar="NAME",
            rich_help_panel=_CREDENTIALS,
        ),
    ] = None
    header_file: Annotated[
        list[str] | None,
        typer.Option(help="An extra header whose value is a file's content.", metavar="NAME=PATH", rich_help_panel=_CREDENTIALS),
    ] = None
    clear: Annotated[
        list[str] | None,
        typer.Option(
            help="Remove a field, a header by its name, or all `headers`, `models`, `embeddings-models`, or the `default-model`.",
            metavar="NAME",
            rich_help_panel=_CREDENTIALS,
        ),
    ] = None
    stdin: Annotated[
        bool,
        typer.Option(
            "--stdin",
            help="Read the secrets from standard input: one a line, fields before headers; a single one may have several lines.",
            rich_help_panel=_CREDENTIALS,
        ),
    ] = False
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model that the provider serves. All of them together replace the list; what was declared of one stays.",
            metavar="ID",
            rich_help_panel=_MODELS,
        ),
    ] = None
    embeddings_model: Annotated[
        list[str] | None, typer.Option(help="The same for embeddings models.", metavar="ID", rich_help_panel=_MODELS)
    ] = None
    default_model: Annotated[
        str | None, typer.Option(help="The project's default model, one of this provider's.", metavar="ID", rich_help_panel=_MODELS)
    ] = None
    body: Annotated[
        Path | None,
        typer.Option(help="Send a file's JSON as the body of the PUT instead; `-` is standard input.", metavar="PATH"),
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the provider was named."""
        return not self._given

    @property
    def _given(self) -> list[str]:
        return [each.name for each in fields(self) if getattr(self, each.name) not in (each.default, [])]

    def require_legal(self) -> None:
        """Raise CommandError, without repeating a value, where an option is not what its metavar says."""
        for option, given in (("secret", self.secret), ("header", self.header)):
            # A colon: as curl has its headers.
            if any(":" in entry or ("=" in entry and not entry.endswith("=-")) for entry in given or []):
                raise CommandError(
                    f"A secret is no argument: everybody on this machine could read it. Say --{option} NAME and type the value, "
                    f"or use --{option}-file NAME=PATH or --stdin.",
                    ExitCode.USAGE,
                )
        for option, given in (("secret-file", self.secret_file), ("header-file", self.header_file), ("public", self.public)):
            if any("=" not in entry or entry.startswith("=") for entry in given or []):
                raise CommandError(f"Write --{option} as NAME={'VALUE' if option == 'public' else 'PATH'}.", ExitCode.USAGE)
        named = {entry.partition("=")[0] for given in (self.secret, self.secret_file, self.public) for entry in given or []}
        if both := named & set(self.clear or []):
            raise CommandError(f"{', '.join(sorted(both))} is given and cleared at once. Leave one of the two away.", ExitCode.USAGE)
        if self.body is not None and self._given != ["body"]:
            raise CommandError("--body is the whole of a change: leave the other options away.", ExitCode.USAGE)
