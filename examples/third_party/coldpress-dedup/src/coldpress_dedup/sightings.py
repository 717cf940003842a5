"""Which contents were seen lately, and which of them have a copy."""

from __future__ import annotations

import enum

from coldpress import flat_table, resident


class Sight(enum.Enum):
    """What is known of a page's contents."""

    FIRST = enum.auto()
    AGAIN = enum.auto()
    COPIED = enum.auto()
    """There is a copy with this digest, as it seems."""


class Sightings:
    """Digests of contents, one in each place; a digest has one place that it can be in.

    A digest replaces the one that is there, unless that one has a copy: a copy that is shared shall
    be found again. What comes of a mistake is a page that is not shared, never a wrong one, because
    contents are compared before a copy is used.

    Parameters: `digests`, how many places there are at least; `copies`, how many copies there may
    be.

    Notes: `look` runs on any number of threads without a lock, all else under the pipeline's lock.
    Every call is O(1). A place costs 12 bytes of flat tables, a copy 4.
    """

    def __init__(self, digests: int, copies: int) -> None:
        places = 1 << (digests - 1).bit_length()
        self._mask = places - 1
        self._digests = flat_table("Q", places)
        self._numbers = flat_table("I", places)  # of the copy, plus one
        self._places = flat_table("I", copies)  # of each copy: where it is to be found

    def look(self, digest: int) -> Sight:
        """What is known of contents with this digest; they are known from now on."""
        place = digest & self._mask
        if self._digests[place] == digest:  # once in 2**64 it is a place that was never used
            return Sight.COPIED if self._numbers[place] else Sight.AGAIN
        if not self._numbers[place]:
            # A copy may be made for this place between the question and the answer. It is not found
            # by its digest then, and the next copy for the place replaces it.
            self._digests[place] = digest
        return Sight.FIRST

    def copy_of(self, digest: int) -> int:
        """The number of a copy that may be of contents with this digest, or -1."""
        place = digest & self._mask
        return self._numbers[place] - 1 if self._digests[place] == digest else -1

    def has_copy(self, digest: int, number: int) -> None:
        """From now on this copy is the one that is found, instead of any other in its place."""
        place = digest & self._mask
        self._digests[place] = digest
        self._numbers[place] = number + 1
        self._places[number] = place

    def forget_copy(self, number: int) -> None:
        """The copy is gone; its digest stays, as one that was seen."""
        place = self._places[number]
        if self._numbers[place] == number + 1:
            self._numbers[place] = 0

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the tables that are in RAM."""
        return resident(self._digests, self._numbers, self._places)
