"""`keyhouse demo-upstream`: a small upstream on loopback, and how to store it in a house."""

import json
from typing import Annotated

import typer


def demo_upstream(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one. Default: 5570.", show_default=False)] = 5570,
) -> None:
    """Serve a small upstream to try Keyhouse against: OpenAI's Chat Completions, Responses and Embeddings, and Anthropic's Messages.

    It listens on 127.0.0.1, repeats what it is told, and prints how to store it in a house.
    """
    import signal

    from keyhouse.cli.listening import listen, shown_address
    from keyhouse.cli.workers import Server
    from keyhouse.settings import read_settings
    from keyhouse.web.demo_upstream import DemoUpstream
    from keyhouse.web.serving import server_config

    listening = listen("127.0.0.1", port)
    settings = read_settings()
    typer.echo(introduction(shown_address(listening), settings.endpoint or f"http://127.0.0.1:{settings.port}"))
    config = server_config(DemoUpstream(), shutdown_timeout_s=1)
    Server(config, (signal.SIGINT, signal.SIGTERM), lambda: None).run(sockets=[listening])


def introduction(address: str, house: str) -> str:
    """What is printed: where it is, and the commands that store it and ask it."""
    from keyhouse.web.demo_upstream import EMBEDDING_MODEL, KEY, MODEL

    stored = {
        "enabled": True,
        "customKeys": {"CUSTOM_BASE_URL": f"{address}/v1", "CUSTOM_API_KEY": KEY},
        "customModels": [MODEL],
        "customEmbeddingsModels": [EMBEDDING_MODEL],
    }
    question = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    return f"""\
Demo upstream: {address}/v1

Store it in your house, with the project key that `keyhouse serve` printed:

export KEYHOUSE_API_KEY=sk-lw-...
{_curl("-X PUT ", f"{house}/api/model-providers/custom", stored)}

Ask it through the house, by any OpenAI or Anthropic client, or with curl:

{_curl("-N ", f"{house}/v1/chat/completions", question)}
"""


def _curl(options: str, address: str, body: object) -> str:
    return (
        f"curl {options}{address} -H \"Authorization: Bearer $KEYHOUSE_API_KEY\" -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(body)}'"
    )
