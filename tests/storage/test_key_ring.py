"""A key ring as text: what is read, what is refused, and that no key is ever printed."""

import base64
from pathlib import Path

import pytest

from keyhouse.domain.errors import Error
from keyhouse.storage.key_file import KeySource
from keyhouse.storage.key_ring import KEY_BYTES, KeyRing, key_ring_text, new_key, parse_key_ring

FIRST, SECOND = bytes(range(KEY_BYTES)), bytes(range(100, 100 + KEY_BYTES))


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"a = {encoded(FIRST)}\nb = {encoded(SECOND)}\n",
        f"# a comment, with a comma\n\n a:{encoded(FIRST)}  # and another\r\nb: {encoded(SECOND)}",
        f"a={encoded(FIRST)},b={encoded(SECOND)}",
        f"a={encoded(FIRST).rstrip('=')},b={base64.urlsafe_b64encode(SECOND).decode()},",
    ],
)
def test_lines_and_commas_are_read_in_order(text: str) -> None:
    ring = parse_key_ring(text, "a test")
    assert ring.ids == ("a", "b")
    assert (ring.key("a"), ring.key("b"), ring.writing_id) == (FIRST, SECOND, "a")


def test_a_written_ring_reads_back_the_same() -> None:
    ring = KeyRing(dict([new_key(), new_key(), new_key()]), "a test")
    assert parse_key_ring(key_ring_text(ring), "a test").equals(ring)


PLANTED = encoded(FIRST)
HALF = PLANTED[:22]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        PLANTED,
        f"a = {HALF}",
        f"a = {PLANTED}{PLANTED}",
        f"a = {HALF}={PLANTED[22:]}",
        f"a = {PLANTED[:-2]}!=",
        f"a b = {PLANTED}",
        f"a = {PLANTED}\na = {encoded(SECOND)}",
        f"{'x' * 65} = {PLANTED}",
        f"schlüssel = {PLANTED}",
        f"a = {PLANTED}\nb =",
    ],
)
def test_what_is_no_ring_is_refused_without_its_content(text: str) -> None:
    with pytest.raises(Error, match="the test's ring") as refused:
        parse_key_ring(text, "the test's ring")
    assert HALF not in refused.value.message


def test_no_repr_shows_a_key() -> None:
    ring = parse_key_ring(f"a = {PLANTED}", "a test")
    shown = repr(ring) + str(ring) + repr(KeySource(Path("keyring"), f"a={PLANTED}")) + repr([ring.only("a")])
    assert HALF not in shown
    assert repr(FIRST)[2:20] not in shown


def test_the_order_of_its_keys_is_a_part_of_a_ring() -> None:
    one, other = new_key(), new_key()
    ring = KeyRing(dict((one, other)), "here")
    assert ring.equals(KeyRing(dict((one, other)), "there"))
    assert not ring.equals(KeyRing(dict((other, one)), "here"))
