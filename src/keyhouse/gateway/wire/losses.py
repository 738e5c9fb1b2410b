"""Keeps account of what a translation could not keep. Raises instead where the caller wants nothing dropped."""

from keyhouse.gateway.wire.fields import unsupported


class Losses:
    """Collects names while one request is parsed and rendered.

    With `drops_allowed` False (the caller sent `drop_tuning_params: false`) every drop is the 400 `unsupported_parameter`.
    """

    def __init__(self, *, drops_allowed: bool = True) -> None:
        self._drops_allowed = drops_allowed
        self._dropped: dict[str, None] = {}
        self._enforced: dict[str, None] = {}

    def drop(self, name: str, reason: str) -> None:
        """Note that a tuning parameter is left out. `reason` is a whole sentence."""
        if not self._drops_allowed:
            raise unsupported(name, reason)
        self._dropped[name] = None

    def leave_out(self, name: str) -> None:
        """Note that something is left out that nobody could take, be drops allowed or not."""
        self._dropped[name] = None

    def change(self, name: str, value: object) -> None:
        """Note that a value was brought into the range that the upstream takes."""
        self._enforced[f"{name}={value}"] = None

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names, each once, in the order of their first drop."""
        return tuple(self._dropped)

    @property
    def enforced(self) -> tuple[str, ...]:
        """The changes, as `temperature=1`."""
        return tuple(self._enforced)
