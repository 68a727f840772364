"""How work says how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then by long work."""

    def __call__(self, phase: str, done: int, total: int, /) -> None:
        """`done` of `total` in a phase such as "features" or "rounds"."""
