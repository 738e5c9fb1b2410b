"""Pages in fewer bytes. Only what a GET gives: answers to forms can show a secret once, and their length
should tell nothing of it. What a GET gives holds one secret, the token of the session's forms."""

import asyncio
import gzip

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

# Lengths tell of the token beside a search that another page chose (https://www.breachattack.com). No other site's page can choose one: the
# session's cookie is SameSite=Strict, so what such a page asks for comes without a session and holds no token. A page of the same site, say
# of a neighbouring host, could, and would win nothing: `require_same_site` refuses its forms, whatever token they bring.
_SHORTEST = 1024
_LEVEL = 5


async def compressed(request: Request, answer: Response) -> Response:
    """The same answer, compressed where that is worth it and the browser takes it. Elsewhere than in the loop: a list of models is long."""
    takes = "gzip" in request.headers.get("accept-encoding", "")
    if request.method != "GET" or not takes or not isinstance(answer, HTMLResponse) or len(answer.body) < _SHORTEST:
        return answer
    answer.body = await asyncio.to_thread(gzip.compress, bytes(answer.body), _LEVEL, mtime=0)
    answer.headers["content-encoding"] = "gzip"
    answer.headers["content-length"] = str(len(answer.body))
    answer.headers["vary"] = f"{answer.headers['vary']}, accept-encoding"
    return answer
