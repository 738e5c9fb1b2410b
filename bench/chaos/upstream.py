"""A provider that answers with what it was sent: which credentials and headers reached it. On two ports, so that there are two origins."""

import contextlib
import json
import random
import socket

from aiohttp import web

_LOWEST, _HIGHEST = 15_000, 30_000

MARKED = "x-chaos-"
"""How the names of the run's own headers begin."""
_CREDENTIALS = ("authorization", "x-api-key", "api-key")


def lasting_port() -> int:
    """A free port that nobody is given by chance while its server is down: systems take those from further up."""
    while True:
        port = random.SystemRandom().randrange(_LOWEST, _HIGHEST)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Upstream:
    """See the module."""

    def __init__(self) -> None:
        self.origins = tuple(f"http://127.0.0.1:{lasting_port()}" for _ in range(2))
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", _answer)
        self._runner = web.AppRunner(app, access_log=None, max_field_size=1_000_000, max_line_size=1_000_000)
        await self._runner.setup()
        for origin in self.origins:
            await web.TCPSite(self._runner, "127.0.0.1", int(origin.rpartition(":")[2])).start()

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


async def _answer(request: web.Request) -> web.Response:
    received = [(name.decode().lower(), value.decode("latin-1")) for name, value in request.raw_headers]
    seen = {
        "origin": f"http://{request.headers['host']}",
        "path": request.path,
        "credentials": [value for name, value in received if name in _CREDENTIALS],
        "headers": [[name, value] for name, value in received if name.startswith(MARKED)],
    }
    content = json.dumps(seen)
    if "messages" in request.path:
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None}
        return web.json_response({**message, "content": [{"type": "text", "text": content}], "usage": usage})
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return web.json_response({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage})
