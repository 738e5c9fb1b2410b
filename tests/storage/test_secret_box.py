"""The secret box: what opens, what does not, and that sealing holds while the ring is replaced."""

import sys
import threading

import pytest
from msgspec.structs import replace

from keyhouse.storage.key_ring import KEY_BYTES, KeyRing, new_key
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable, key_id_of

PLACE = Context("project_1", "provider_1", "customKeys", "value_1")
SECRET = b'{"OPENAI_API_KEY":"sk-planted"}'


def ring_of(*ids: str) -> KeyRing:
    return KeyRing({key_id: key_id.encode().ljust(KEY_BYTES, b".") for key_id in ids}, "the test's ring")


def test_what_is_sealed_opens_again_and_never_looks_the_same() -> None:
    box = SecretBox(ring_of("a"))
    blobs = {box.seal(SECRET, PLACE) for _ in range(50)}
    assert len(blobs) == 50
    assert {box.open(blob, PLACE) for blob in blobs} == {SECRET}
    assert all(SECRET[4:14] not in blob for blob in blobs)


def test_no_nonce_is_used_twice() -> None:
    """Two under one key would give away what they sealed."""
    box = SecretBox(ring_of("a"))
    sealed = [box.seal(SECRET, PLACE) for _ in range(50)]
    wrapped = [*sealed, *(box.rewrapped(sealed[0], PLACE) for _ in range(50))]
    head_bytes, wrapped_bytes = 2 + len("a"), 12 + KEY_BYTES + 16
    wrapping = [blob[head_bytes:][:12] for blob in wrapped]
    sealing = [blob[head_bytes + wrapped_bytes :][:12] for blob in sealed]
    assert len({*wrapping, *sealing}) == 150


@pytest.mark.parametrize("field", ["project_id", "owner_id", "field", "id"])
def test_a_blob_opens_only_where_it_was_put(field: str) -> None:
    box = SecretBox(ring_of("a"))
    elsewhere = replace(PLACE, **{field: "another"})
    with pytest.raises(Unreadable):
        box.open(box.seal(SECRET, PLACE), elsewhere)
    with pytest.raises(Unreadable):
        box.rewrapped(box.seal(SECRET, PLACE), elsewhere)


@pytest.mark.parametrize(
    ("place", "neighbour"),
    [
        (("ab", "c", "field", "id"), ("a", "bc", "field", "id")),
        (("a b", "c", "field", "id"), ("a", "b c", "field", "id")),
        (("a", "b c", "field", "id"), ("a", "b", "c field", "id")),
        (("a", "b", "field c", "id"), ("a", "b", "field", "c id")),
        (("a", "b 1:c", "field", "id"), ("a 5:b", "c", "field", "id")),
        (("a", "b", "c 1:d", "id"), ("a", "b 5:c", "d", "id")),
        (("a", "b", "field", "c 1:d"), ("a", "b", "field 5:c", "d")),
    ],
)
def test_parts_of_a_place_do_not_run_into_each_other(place: tuple[str, ...], neighbour: tuple[str, ...]) -> None:
    box = SecretBox(ring_of("a"))
    with pytest.raises(Unreadable):
        box.open(box.seal(SECRET, Context(*place)), Context(*neighbour))


def test_no_flipped_bit_and_no_cut_goes_unnoticed() -> None:
    box = SecretBox(ring_of("a"))
    blob = box.seal(SECRET, PLACE)
    damaged = [blob[:at] + bytes([blob[at] ^ 1 << at % 8]) + blob[at + 1 :] for at in range(len(blob))]
    for broken in [*damaged, *(blob[:length] for length in range(len(blob))), blob + b"\0"]:
        with pytest.raises(Unreadable):
            box.open(broken, PLACE)


def test_every_key_opens_and_the_first_one_seals() -> None:
    old = SecretBox(ring_of("old")).seal(SECRET, PLACE)
    box = SecretBox(ring_of("new", "old"))
    assert box.open(old, PLACE) == SECRET
    assert key_id_of(box.seal(SECRET, PLACE)) == "new"


def test_rewrapping_changes_the_key_and_not_the_payload() -> None:
    old = SecretBox(ring_of("old")).seal(SECRET, PLACE)
    new = SecretBox(ring_of("new", "old")).rewrapped(old, PLACE)
    payload_bytes = 12 + len(SECRET) + 16
    assert new[-payload_bytes:] == old[-payload_bytes:]
    assert SecretBox(ring_of("new")).open(new, PLACE) == SECRET
    with pytest.raises(Unreadable):
        SecretBox(ring_of("old")).open(new, PLACE)


def test_another_key_of_the_same_id_opens_nothing() -> None:
    blob = SecretBox(ring_of("a")).seal(SECRET, PLACE)
    with pytest.raises(Unreadable, match="another one of the same id"):
        SecretBox(KeyRing({"a": b"another".ljust(KEY_BYTES)}, "the test's ring")).open(blob, PLACE)


def test_a_missing_key_is_named_with_the_place_that_was_searched() -> None:
    blob = SecretBox(ring_of("a")).seal(SECRET, PLACE)
    with pytest.raises(Unreadable, match="the key a is not in the test's ring"):
        SecretBox(ring_of("b")).open(blob, PLACE)


def test_a_key_that_came_since_opens_but_does_not_seal() -> None:
    blob = SecretBox(ring_of("new")).seal(SECRET, PLACE)
    offered = [ring_of("new", "old")]
    box = SecretBox(ring_of("old"), lambda anew: offered.pop() if offered else None)
    generation = box.generation
    assert box.open(blob, PLACE) == SECRET
    assert box.open(blob, PLACE) == SECRET
    assert key_id_of(box.seal(SECRET, PLACE)) == "old"
    assert box.generation is not generation


def test_nobody_is_asked_for_a_key_that_is_known() -> None:
    asked = []

    def brought(*, anew: bool) -> KeyRing:
        asked.append(anew)
        return ring_of("new", "old")

    box = SecretBox(ring_of("old"), brought)
    for key_id in ("old", "new", "old", "new"):
        assert box.open(SecretBox(ring_of(key_id)).seal(SECRET, PLACE), PLACE) == SECRET
    assert asked == [True]


def test_another_ring_opens_what_it_opens_and_no_more() -> None:
    blob = SecretBox(ring_of("new")).seal(SECRET, PLACE)
    offered = [ring_of("new", "old")]
    box = SecretBox(ring_of("old"), lambda anew: offered.pop() if offered else None)
    assert box.open(blob, PLACE) == SECRET
    generation = box.generation
    box.use(ring_of("old"))
    assert box.generation is not generation
    with pytest.raises(Unreadable):
        box.open(blob, PLACE)


def test_a_newer_ring_never_replaces_a_key_that_is_known() -> None:
    spoilt = KeyRing({"new": new_key()[1], "old": new_key()[1]}, "the test's ring")
    box = SecretBox(ring_of("old"), lambda anew: spoilt)
    with pytest.raises(Unreadable):
        box.open(SecretBox(ring_of("new")).seal(SECRET, PLACE), PLACE)
    assert box.open(SecretBox(ring_of("old")).seal(SECRET, PLACE), PLACE) == SECRET


def test_what_another_thread_puts_in_while_a_key_is_looked_for_opens() -> None:
    class Overtaken(KeyRing):
        def key(self, key_id: str) -> bytes | None:
            found = super().key(key_id)
            box.use(ring_of("new", "old"))
            return found

    box = SecretBox(Overtaken({"old": b"k" * KEY_BYTES}, "the test's ring"))
    assert box.open(SecretBox(ring_of("new")).seal(SECRET, PLACE), PLACE) == SECRET


def test_id_and_key_belong_together_while_another_thread_replaces_the_ring() -> None:
    """Here the ring is replaced by whoever looks at it: every moment between two looks is the wrong one."""

    class Replaced(KeyRing):
        @property
        def writing_id(self) -> str:
            box.use(ring_of("b", "a"))
            return super().writing_id

        def key(self, key_id: str) -> bytes | None:
            box.use(ring_of("b", "a"))
            return super().key(key_id)

    keys = ring_of("a", "b")
    box = SecretBox(keys)
    for _ in range(3):
        box.use(Replaced({key_id: keys.key(key_id) or b"" for key_id in keys.ids}, keys.where))
        blob = box.seal(SECRET, PLACE)
        assert key_id_of(blob) == "a"
        assert SecretBox(keys).open(blob, PLACE) == SECRET


def test_a_key_that_is_no_longer_in_the_ring_is_let_go_of() -> None:
    key = b"".join([b"a" * (KEY_BYTES // 2), b"b" * (KEY_BYTES // 2)])
    ring = KeyRing({"a": key}, "the test's ring")
    known = sys.getrefcount(key)
    box = SecretBox(ring)
    assert box.open(box.seal(SECRET, PLACE), PLACE) == SECRET
    box.use(ring_of("b"))
    assert sys.getrefcount(key) == known


def test_a_thread_waits_for_the_ring_that_another_one_is_just_being_brought() -> None:
    newer, blob = ring_of("b"), SecretBox(ring_of("b")).seal(SECRET, PLACE)
    rings: list[KeyRing] = [newer]

    def brought(*, anew: bool) -> KeyRing | None:
        if not rings:
            return None
        ring = rings.pop()
        second.start()
        while second.is_alive() and not waits_in(second, "_newest_key"):
            pass
        return ring

    box, opened = SecretBox(ring_of("a"), brought), []
    second = threading.Thread(target=lambda: opened.append(box.open(blob, PLACE)))
    opened.append(box.open(blob, PLACE))
    second.join()
    assert opened == [SECRET, SECRET]


def waits_in(thread: threading.Thread, function: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == function
