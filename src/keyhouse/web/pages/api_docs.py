"""`/openapi.json` and the page that shows it: Swagger UI, vendored, so that both work without any other host."""

from collections.abc import Callable
from pathlib import Path

from keyhouse.web.pages.documents import Document, kept_file, page

_STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Keyhouse API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{swagger_css}">
<link rel="stylesheet" href="{css}">
</head>
<body>
<div id="api"><noscript>This page needs JavaScript. The document itself is at <a href="openapi.json">openapi.json</a>.</noscript></div>
<script src="{swagger_js}"></script>
<script src="{js}"></script>
</body>
</html>
"""


def api_documents(document: Callable[[], bytes]) -> list[Document]:
    """Everything behind `/docs`, and the API document itself, which is made when it is first asked for."""
    swagger_css = kept_file(_STATIC / "swagger-ui", "swagger-ui.css", "/docs/")
    swagger_js = kept_file(_STATIC / "swagger-ui", "swagger-ui-bundle.js", "/docs/")
    css, js = (kept_file(_STATIC, name, "/docs/") for name in ("api-docs.css", "api-docs.js"))
    # Without the slash in front they are found behind a proxy that adds a prefix as well.
    addresses = {"swagger_css": swagger_css, "swagger_js": swagger_js, "css": css, "js": js}
    html = _PAGE.format_map({name: file.path.removeprefix("/") for name, file in addresses.items()}).encode()
    headers = ((b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer"))
    return [
        page("/openapi.json", b"application/json", document),
        page("/docs", b"text/html; charset=utf-8", lambda: html, headers),
        *addresses.values(),
    ]
