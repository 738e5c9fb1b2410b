"""The unit and the proxies of docs/running.md agree with the settings: port, sizes, times, and that streams may end."""

import re
from pathlib import Path

import pytest

from keyhouse.settings import Settings

PAGE = (Path(__file__).parent.parent.parent / "docs" / "running.md").read_text(encoding="utf-8")
PROXIES = ("nginx", "caddyfile", "haproxy")


def default(name: str) -> int:
    return int(Settings.model_fields[name].default)


def block(language: str, begins: str = "") -> str:
    found = re.search(rf"```{language}\n({re.escape(begins)}.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_asks_where_keyhouse_listens(proxy: str) -> None:
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", block(proxy))) == {str(default("port"))}


def test_nginx_takes_what_keyhouse_takes_and_waits_as_long() -> None:
    assert f"client_max_body_size {default('max_request_bytes') // 1024**2}m;" in block("nginx")
    assert f"proxy_read_timeout {default('upstream_first_byte_timeout_s')}s;" in block("nginx")
    assert "proxy_buffering off;" in block("nginx")


@pytest.mark.parametrize("timeout", ["client", "server"])
def test_haproxy_waits_as_long(timeout: str) -> None:
    assert f"timeout {timeout} {default('upstream_first_byte_timeout_s')}s" in block("haproxy")


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_a_proxy_replaces_what_callers_say_of_themselves(proxy: str) -> None:
    assert re.search(r"set.header X-Forwarded-For (\$remote_addr|%\[src\])", block(proxy))
    assert re.search(r"set.header X-Forwarded-Proto (\$scheme|https)", block(proxy))


def test_the_unit_lets_streams_end_and_names_settings() -> None:
    unit = block("ini", "[Unit]")
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) > default("shutdown_timeout_s")
    named = re.findall(r"KEYHOUSE_([A-Z_]+)=", unit)
    assert named
    assert {name.lower() for name in named} <= {*Settings.model_fields}
