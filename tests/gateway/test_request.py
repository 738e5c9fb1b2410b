"""Requests: what is written is one request and no more, whatever the caller puts into it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.domain.address import Origin, parse_origin
from keyhouse.domain.headers import header_problem
from keyhouse.gateway.request import UpstreamRequest, host_header, rendered_head, rendered_headers, request_head

ORIGIN = parse_origin("https://api.example.com")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com", b"api.example.com"),
        ("http://api.example.com", b"api.example.com"),
        ("https://api.example.com:8443", b"api.example.com:8443"),
        ("http://api.example.com:443", b"api.example.com:443"),
        ("http://[::1]:8080", b"[::1]:8080"),
        ("https://[2001:db8::1]", b"[2001:db8::1]"),
        ("http://127.0.0.1:1", b"127.0.0.1:1"),
    ],
)
def test_host_names_the_origin_with_its_port_unless_it_is_the_usual_one(url: str, host: bytes) -> None:
    assert host_header(parse_origin(url)) == host


def test_a_head_is_rendered_as_it_goes_out() -> None:
    head = request_head(b"POST", ORIGIN, b"/v1/chat?x=%20", [(b"Authorization", b"Bearer k"), (b"x-a", b"\xc3\xa9\t")])

    assert rendered_head(UpstreamRequest(head, b"abc", [(b"x-b", b"")])) == (
        b"POST /v1/chat?x=%20 HTTP/1.1\r\nhost: api.example.com\r\nAuthorization: Bearer k\r\nx-a: \xc3\xa9\t\r\nx-b: \r\n"
        b"content-length: 3\r\n\r\n"
    )


def test_a_request_to_a_proxy_has_the_absolute_form_and_the_proxy_lines() -> None:
    head = request_head(b"GET", parse_origin("http://api.example.com:8000"), b"/v1?a=b", [(b"x-a", b"1")])

    assert rendered_head(UpstreamRequest(head), b"proxy-authorization: Basic eA==\r\n") == (
        b"GET http://api.example.com:8000/v1?a=b HTTP/1.1\r\nhost: api.example.com:8000\r\nx-a: 1\r\n"
        b"proxy-authorization: Basic eA==\r\n\r\n"
    )


@pytest.mark.parametrize(("method", "framing"), [(b"GET", b""), (b"HEAD", b""), (b"DELETE", b""), (b"POST", b"content-length: 0\r\n")])
def test_an_empty_body_has_a_length_only_where_a_body_is_expected(method: bytes, framing: bytes) -> None:
    assert rendered_head(UpstreamRequest(request_head(method, ORIGIN, b"/"))).endswith(b"com\r\n" + framing + b"\r\n")


@pytest.mark.parametrize("name", [b"", b"a b", b"a:b", b"a\r\nb", b"a\0", b"\xc3\xa9", b" a", b"a\n", b"a\x7f", b"(a)"])
def test_names_that_are_no_tokens_are_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="name"):
        request_head(b"POST", ORIGIN, b"/", [(name, b"v")])
    with pytest.raises(ValueError, match="name"):
        rendered_head(UpstreamRequest(request_head(b"POST", ORIGIN, b"/"), b"", [(name, b"v")]))


@pytest.mark.parametrize("value", [b"a\r\nx-b: c", b"a\nb", b"a\rb", b"a\0b", b"\x01", b"\x7f", b"a\r\n\r\nGET / HTTP/1.1"])
def test_values_with_line_breaks_or_control_characters_are_refused_unrepeated(value: bytes) -> None:
    for build in (
        lambda: request_head(b"POST", ORIGIN, b"/", [(b"x-a", value)]),
        lambda: rendered_head(UpstreamRequest(request_head(b"POST", ORIGIN, b"/"), b"", [(b"x-a", value)])),
    ):
        with pytest.raises(ValueError, match="line breaks") as caught:
            build()
        assert repr(value)[2:-1] not in str(caught.value)


@pytest.mark.parametrize("target", [b"", b"v1", b"/a b", b"/a\r\nb", b"/a\nb", b"/\0", b"/\xc3\xa9", b"http://x/", b"*", b"/a\x7f"])
def test_paths_that_could_end_the_request_line_are_refused(target: bytes) -> None:
    with pytest.raises(ValueError, match="path"):
        request_head(b"POST", ORIGIN, target)


@pytest.mark.parametrize("method", [b"", b"post", b"GET /", b"GET\r\n", b"G\0T", b"CONNECT", b"A" * 21])
def test_methods_that_are_none_are_refused(method: bytes) -> None:
    with pytest.raises(ValueError, match=r"method|CONNECT"):
        request_head(method, ORIGIN, b"/")


@pytest.mark.parametrize(
    "origin",
    [
        Origin("ftp", "a", 21),
        Origin("http", "a b", 80),
        Origin("http", "a\r\nx: y", 80),
        Origin("http", "", 80),
        Origin("http", "a", 0),
        Origin("http", "a@b", 80),
        Origin("http", "fe80::1%eth0", 80),
        Origin("http", "a", 65536),
    ],
)
def test_origins_that_parse_origin_would_not_give_are_refused(origin: Origin) -> None:
    with pytest.raises(ValueError, match="origin"):
        request_head(b"POST", origin, b"/")


@pytest.mark.parametrize(
    "name",
    [b"Host", b"content-length", b"Transfer-Encoding", b"Connection", b"TE", b"upgrade", b"Expect", b"Proxy-Authorization", b"trailer"],
)
def test_headers_of_the_client_itself_are_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="set by the client"):
        request_head(b"POST", ORIGIN, b"/", [(name, b"1")])


def test_credentials_are_not_printed() -> None:
    request = UpstreamRequest(
        request_head(b"POST", ORIGIN, b"/key-in-path", [(b"x-key", b"s3cret")]), b"s3cret body", [(b"x-b", b"s3cret")]
    )

    assert "s3cret" not in repr(request)
    assert "key-in-path" not in repr(request)


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20))
def test_no_bytes_make_a_second_header_or_request(target: bytes, name: bytes, value: bytes) -> None:
    try:
        wire = rendered_head(UpstreamRequest(request_head(b"POST", ORIGIN, b"/" + target, [(b"x-" + name, value)])))
    except ValueError:
        return
    lines = wire.split(b"\r\n")

    assert len(lines) == 6
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert lines[0].count(b" ") == 2
    assert lines[2] == b"x-%b: %b" % (name, value)


NAMES = sorted(
    b"connection content-length expect host keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer"
    b" transfer-encoding upgrade x-anything accept content-type".split()
)


@pytest.mark.parametrize("name", NAMES)
def test_what_no_request_can_carry_cannot_be_stored_either(name: bytes) -> None:
    """Else every call of the provider would fail, and only then."""
    try:
        rendered_headers([(name, b"x")])
    except ValueError:
        assert header_problem(name.decode().title(), "x") is not None
