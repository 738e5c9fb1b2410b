"""DELETE destroys secrets for good: on SQLite not even their ciphertext is left in a file."""

import asyncio
import subprocess
from pathlib import Path

from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.services.key_rotation import rotate
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import SealedValue
from tests.storage.houses import opened, project_caller, providers_of, run_on, sealed_values, settings_of

PIECE = 24


def pieces(blob: bytes) -> list[bytes]:
    """Parts of a ciphertext; what stands before it, its format and its key's id, is no secret."""
    start = 2 + blob[1]
    return [blob[at : at + PIECE] for at in range(start, len(blob) - PIECE, PIECE)]


def on_disk(folder: Path) -> bytes:
    """All of the database's files, read by another process: closing one of them here would take SQLite's locks from it."""
    files = sorted(folder.glob("keyhouse.db*"))
    return subprocess.run(["cat", *files], check=True, capture_output=True).stdout


async def store_history(storage: Storage, provider: str, field: str, versions: int) -> list[SealedValue]:
    """Store a provider again and again, with credentials small and large; its sealed values."""
    caller, providers = await project_caller(storage), providers_of(storage)
    before = {value.context for value in await sealed_values(storage)}
    for version in range(versions):
        secret = f"sk-{provider}-{version}-" + "x" * (version % 7) * 1500
        await providers.upsert(caller, provider, ModelProviderUpdate(True, {field: secret}), None)
    return [value for value in await sealed_values(storage) if value.context not in before]


def test_no_ciphertext_is_left_after_a_deletion(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")

    async def main(storage: Storage) -> None:
        for number, (provider, field) in enumerate((("groq", "GROQ_API_KEY"), ("openai", "OPENAI_API_KEY"), ("xai", "XAI_API_KEY"))):
            await store_history(storage, provider, field, 40 + number)
        doomed = [value for value in await sealed_values(storage) if b"sk-openai" in storage.box.open(value.blob, value.context)]
        kept = [value for value in await sealed_values(storage) if value not in doomed]
        assert len(doomed) == 41
        before = on_disk(tmp_path)
        assert all(piece in before for value in doomed[-3:] for piece in pieces(value.blob)[:2])
        await providers_of(storage).delete(await project_caller(storage), "openai", None)
        after = on_disk(tmp_path)
        assert [value.context for value in doomed if any(piece in after for piece in pieces(value.blob))] == []
        assert all(pieces(value.blob)[0] in after for value in kept)

    run_on(settings, main)


def test_the_log_is_emptied_later_where_somebody_reads_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")

    async def main() -> None:
        async with opened(settings) as storage, opened(settings) as other:
            (value,) = await store_history(storage, "groq", "GROQ_API_KEY", 1)
            other.database._reader.execute("BEGIN")  # type: ignore[attr-defined]
            other.database._reader.execute("SELECT count(*) FROM sealed_values")  # type: ignore[attr-defined]
            await providers_of(storage).delete(await project_caller(storage), "groq", None)
            assert pieces(value.blob)[0] in on_disk(tmp_path)
            other.database._reader.execute("COMMIT")  # type: ignore[attr-defined]
            await storage.database.changed()
            await storage.database.write(lambda tx: None)
            assert pieces(value.blob)[0] not in on_disk(tmp_path)

    asyncio.run(main())


def test_what_the_old_key_wrapped_is_gone_after_a_rotation(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")

    async def main(storage: Storage) -> None:
        values = await store_history(storage, "groq", "GROQ_API_KEY", 30)
        async for _ in rotate(storage, settle_s=0):
            pass
        after = on_disk(tmp_path)
        wrapped = [pieces(value.blob)[:2] for value in values]
        assert [piece for both in wrapped for piece in both if piece in after] == []

    run_on(settings, main)
