"""Addresses: which origin one has, and which are refused because two parsers could read them differently."""

import sys

import pytest

from keyhouse.domain.address import Origin, parse_origin

NO_HOST = "must name one host, and if needed a port"
NO_PORT = "must have a port between 1 and 65535"
NOT_PLAIN = "must be an address of plain ASCII characters, without blanks, backslashes or control characters"
NO_SCHEME = "must start with http:// or https://"
WITH_USER = "must not contain a user name or password"
TWO_WAYS = "must be an address that can be read in one way only"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/v1", Origin("https", "api.example.com", 443)),
        ("http://api.example.com", Origin("http", "api.example.com", 80)),
        ("HTTPS://API.Example.COM.:8443?a=@b", Origin("https", "api.example.com", 8443)),
        ("http://a:1#@b", Origin("http", "a", 1)),
        ("http://a_b-c.d:65535/", Origin("http", "a_b-c.d", 65535)),
        ("https://127.0.0.1:443/http://b", Origin("https", "127.0.0.1", 443)),
        ("http://[2001:DB8::1]:8000/", Origin("http", "2001:db8::1", 8000)),
        ("http://[::1]", Origin("http", "::1", 80)),
    ],
)
def test_an_address_has_one_origin(url: str, origin: Origin) -> None:
    assert parse_origin(url) == origin


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *((f"https://{host}/v1", NO_HOST) for host in ("", ":443", "a:", "a:b", "a:443:443", "a:123456", "-a", "a-", ".a", "a,b", "a%2eb")),
        *((f"https://{host}/v1", NO_HOST) for host in ("[::1", "::1", "[::1]a", "a[::1]", "[a.example]", "[fe80::1%25eth0]", "*.example")),
        *((f"https://{host}/v1", NO_PORT) for host in ("a:0", "a:00000", "a:65536", "[::1]:99999")),
        *((f"https://a{odd}b.example/v1", NOT_PLAIN) for odd in ("\\", " ", "\t", "\n", "\0", "\x7f", "é", "。", "\u200b", "\U0001f600")),
        *((url, NO_SCHEME) for url in ("", "a.example", "//a.example", "ftp://a.example", "https:/a.example", "https:a.example")),
        *((f"https://{user}@a.example", WITH_USER) for user in ("", "user", "user:password", "b.example:443")),
        *((f"https://{host}/", TWO_WAYS) for host in ("[:]", "[1.2.3.4]", "[1::2::3]", "[::1.2.3]")),
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        parse_origin(url)
    assert str(refused.value) == why


def test_a_long_address_is_not_kept_in_memory() -> None:
    url = "https://api.example.com/" + "a" * 100_000
    held = sys.getrefcount(url)
    assert parse_origin(url) == Origin("https", "api.example.com", 443)
    assert sys.getrefcount(url) == held
