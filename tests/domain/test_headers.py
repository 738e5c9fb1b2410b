"""Which extra headers a provider may have."""

import pytest

from keyhouse.domain.headers import header_problem

# RFC 9110 section 7.6.1, RFC 9113 section 8.2.2 and RFC 9112 section 7.1.2 name those of one connection.
OF_ONE_CONNECTION = (
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
OF_THE_GATEWAY = ("Host", "Content-Length", "Expect")


@pytest.mark.parametrize("name", [*OF_ONE_CONNECTION, *OF_THE_GATEWAY, "", "a b", "a:b", "a\n", "ä", "a\0"])
def test_a_name_that_would_change_what_is_sent_is_refused(name: str) -> None:
    for spelt in (name, name.lower(), name.upper()):
        problem = header_problem(spelt, "v")
        assert problem is not None
        assert problem[0] == "key"


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb", "a\0b", "a\x7fb", "\u20ac"])
def test_a_value_that_would_change_what_is_sent_is_refused(value: str) -> None:
    problem = header_problem("X-Team", value)
    assert problem is not None
    assert problem[0] == "value"
    assert value not in problem[1]


@pytest.mark.parametrize(
    ("name", "value"), [("X-Team", "blue"), ("authorization", "Bearer a\tb"), ("!#$%&'*+-.^_`|~09az", ""), ("X", "é ~")]
)
def test_every_other_header_is_taken(name: str, value: str) -> None:
    assert header_problem(name, value) is None
