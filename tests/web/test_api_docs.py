"""The page of the API document: everything it needs comes from the house itself."""

import hashlib
import re
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.conftest import ServedHouse

STATIC = Path(__file__).parents[2] / "src" / "keyhouse" / "web" / "pages" / "static"
VENDORED = tomllib.loads((STATIC / "VENDORED.toml").read_text(encoding="utf-8"))["vendored"]


@pytest.fixture
def visitor(shared_sqlite_house: ServedHouse) -> httpx.Client:
    return shared_sqlite_house.anonymous()


def assets(visitor: httpx.Client) -> list[str]:
    return re.findall(r'(?:src|href)="(?!data:|openapi\.json)([^"]+)"', visitor.get("/docs").text)


def test_the_page_brings_everything_it_names(visitor: httpx.Client) -> None:
    named = assets(visitor)
    assert len(named) == 4
    for address in named:
        answer = visitor.get(f"/{address}")
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert answer.headers["content-type"].startswith("text/css" if address.endswith(".css") else "text/javascript")


def test_nothing_is_asked_of_another_host(visitor: httpx.Client) -> None:
    policy = dict(part.strip().split(" ", 1) for part in visitor.get("/docs").headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} <= {"'self'", "'none'", "data:"}
    assert "//" not in visitor.get("/docs").text
    own = [visitor.get(f"/{address}").text for address in assets(visitor) if "api-docs" in address]
    assert not any(re.search(r"https?:", text) for text in own)


def test_the_page_holds_no_script_or_style_of_its_own(visitor: httpx.Client) -> None:
    html = visitor.get("/docs").text
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html) == []


def test_files_are_kept_for_good_and_pages_asked_for_again(visitor: httpx.Client) -> None:
    for address in assets(visitor):
        answer = visitor.get(f"/{address}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert hashlib.sha256(answer.content).hexdigest()[:12] in address
    for address in ("/docs", "/openapi.json"):
        tag = visitor.get(address).headers["etag"]
        again = visitor.get(address, headers={"if-none-match": tag})
        assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_files_come_compressed_to_whoever_can_read_that(visitor: httpx.Client, coding: str) -> None:
    for address in ("/docs", "/openapi.json", *(f"/{asset}" for asset in assets(visitor))):
        answer = visitor.get(address, headers={"accept-encoding": coding})
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.content == visitor.get(address).content


def test_other_methods_and_addresses_are_not_found(visitor: httpx.Client) -> None:
    assert visitor.head("/docs").status_code == 200
    for method, address in (
        ("POST", "/docs"),
        ("PUT", "/openapi.json"),
        ("GET", "/docs/"),
        ("GET", "/docs/VENDORED.toml"),
    ):
        assert visitor.request(method, address).json() == {"error": "Not Found"}
    # A client walks up by itself: what is asked for is no address of the API.
    assert visitor.get("/docs/../app.py").status_code == 404


@pytest.mark.parametrize("vendored", VENDORED, ids=lambda entry: str(entry["name"]))
def test_vendored_files_are_unchanged_and_bring_their_licence(vendored: dict[str, object]) -> None:
    folder = STATIC / str(vendored["folder"])
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == vendored["sha256"]
    words = {"Apache-2.0": "Apache License", "0BSD": "Zero-Clause BSD", "MIT": "MIT License"}[str(vendored["licence"])]
    assert words in (folder / "LICENSE").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000


def test_nothing_vendored_is_unlisted() -> None:
    assert {path.name for path in STATIC.iterdir() if path.is_dir()} == {str(entry["folder"]) for entry in VENDORED}
