"""`keyhouse serve`: prepares everything, prints what to do next, and serves."""

import asyncio
import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from keyhouse.app import open_storage
from keyhouse.domain.errors import Code, Error
from keyhouse.services.first_start import FirstKeys, furnish
from keyhouse.settings import Settings, export_settings, read_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the key file and the SQLite database.")] = None,
    database_url: Annotated[str | None, typer.Option(help="sqlite:///path or postgresql://user@host/name.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes serve.")] = None,
) -> None:
    """Serve the house. The first start makes everything it needs, and prints the keys once."""
    settings = read_settings(host=host, port=port, data_dir=data_dir, database_url=database_url, workers=workers)
    listening = _listen(settings)
    _make_data_dir(settings.data_dir)
    first = asyncio.run(_prepare(settings))
    address = f"http://{settings.host}:{listening.getsockname()[1]}"
    typer.echo(_welcome(settings, address, first))
    _run(settings, listening)


async def _prepare(settings: Settings) -> FirstKeys | None:
    storage = await open_storage(settings)
    try:
        return await furnish(storage)
    finally:
        await storage.database.close()


def _listen(settings: Settings) -> socket.socket:
    """Bound before anything is made, so that a taken port costs nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(2048)
    except OSError as problem:
        raise Error(
            Code.CONFIGURATION,
            f"Cannot listen on {settings.host}:{settings.port} ({problem.strerror}). Choose another with --port or --host.",
        ) from None
    listening.set_inheritable(True)
    return listening


def _make_data_dir(folder: Path) -> None:
    """The folder is for its owner alone, and git never sees what is in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / ".gitignore").write_text("*\n", encoding="ascii")
    except OSError as problem:
        raise Error(
            Code.CONFIGURATION, f"The folder {folder} is not writable ({problem.strerror}). Choose another with --data-dir."
        ) from None


def _welcome(settings: Settings, address: str, first: FirstKeys | None) -> str:
    if first is None:
        return f"Keyhouse serves {address}"
    return f"""\
Keyhouse serves {address}

  project key  {first.project_key}
  admin key    {first.admin_key}

curl -X PUT {address}/api/model-providers/openai -H 'X-Auth-Token: {first.project_key}' \\
  -H 'Content-Type: application/json' -d '{{"enabled": true, "customKeys": {{"OPENAI_API_KEY": "sk-..."}}}}'
curl {address}/api/model-providers -H 'X-Auth-Token: {first.project_key}'
"""


def _run(settings: Settings, listening: socket.socket) -> None:
    export_settings(settings)
    config = uvicorn.Config(
        "keyhouse.app:create_app",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
    )
    server = uvicorn.Server(config)
    if settings.workers == 1:
        server.run(sockets=[listening])
    else:
        Multiprocess(config, sockets=[listening]).run()
