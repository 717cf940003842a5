"""What a run does with which slot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Operations(Protocol):
    """A sequence of page accesses, the same each time it is iterated."""

    @property
    def name(self) -> str:
        """In a few words, what they are."""

    @property
    def total(self) -> int:
        """How many there are."""

    @property
    def slots(self) -> int:
        """How many slots they need: the highest number plus one."""

    @property
    def fill(self) -> bool:
        """Whether every page of the corpus is stored before the first access."""

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        """Slot, and whether it is written (otherwise read), one access after the other."""
