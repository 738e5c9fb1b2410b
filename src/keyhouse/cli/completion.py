"""What the shell completes that the command line's structure does not tell."""

from pathlib import Path


def complete_provider(incomplete: str) -> list[str]:
    """The ids of providers: each has a data file of its name."""
    import keyhouse.catalog

    folder = Path(str(keyhouse.catalog.__file__)).parent / "providers"
    return sorted(path.stem for path in folder.glob("*.toml") if path.stem.startswith(incomplete))
