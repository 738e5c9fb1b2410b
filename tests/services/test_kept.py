"""What is kept in memory, read by several threads at once: on PostgreSQL a write looks there from a thread of its own."""

from collections.abc import Callable

from keyhouse.services.kept import Kept


class Key(str):
    """A key that lets another thread in whenever it is looked up."""

    __slots__ = ("meanwhile",)

    meanwhile: Callable[[], None]

    def __hash__(self) -> int:
        self.meanwhile()
        return super().__hash__()


def test_what_another_thread_forgets_meanwhile_is_still_given() -> None:
    kept: Kept[str, str] = Kept(3)
    kept.put("project", "what is known of it")
    looked_up = []

    def forget() -> None:
        looked_up.append(1)
        if len(looked_up) == 2:
            kept.drop("project")

    key = Key("project")
    key.meanwhile = forget
    assert kept.get(key) == "what is known of it"
    assert len(looked_up) == 2
    assert kept.get("project") is None
