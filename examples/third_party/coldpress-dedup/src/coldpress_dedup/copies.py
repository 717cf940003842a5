"""Compressed pages in the pool, each with a count of the slots that share it."""

from __future__ import annotations

from coldpress import Allocator, flat_table, resident


class Copies:
    """Objects of an allocator, known by numbers, that any number of slots refer to.

    Parameters: `most`, how many there may be at once. Attributes: `count`, how many there are;
    `object_bytes`, their compressed bytes.

    Notes: not thread-safe; the pipeline calls under its lock. Every call is O(1) but for the
    copying of one object. A copy costs 19 bytes of flat tables.
    """

    def __init__(self, allocator: Allocator, most: int) -> None:
        self.count = 0
        self.object_bytes = 0
        self._allocator = allocator
        self._most = most
        self._handles = flat_table("I", most)
        self._lengths = flat_table("I", most)
        self._codecs = flat_table("B", most)
        self._references = flat_table("I", most)
        self._free = flat_table("I", most)  # a stack of numbers that were used and are free
        self._fresh = 0  # numbers from here on were never used

    def add(self, slot: int, codec: int, data: bytes) -> int:
        """Store a new copy, with one reference; its number, or -1 if there is no room."""
        if self.count == self._most:
            return -1
        handle = self._allocator.alloc(data, slot)
        if handle < 0:
            return -1
        unused = self._fresh - self.count
        if unused:
            number = int(self._free[unused - 1])
        else:
            number = self._fresh
            self._fresh += 1
        self.count += 1
        self.object_bytes += len(data)
        self._handles[number] = handle
        self._lengths[number] = len(data)
        self._codecs[number] = codec
        self._references[number] = 1
        return number

    def share(self, number: int) -> None:
        """One more slot refers to the copy."""
        self._references[number] += 1

    def drop(self, number: int) -> bool:
        """One slot fewer refers to the copy; whether it was the last, and the copy is gone."""
        self._references[number] -= 1
        if self._references[number]:
            return False
        self._allocator.free(self._handles[number])
        self.object_bytes -= self._lengths[number]
        self.count -= 1
        self._free[self._fresh - self.count - 1] = number
        return True

    def is_same(self, number: int, codec: int, data: bytes) -> bool:
        """Whether the copy has this codec and exactly these bytes: it then gives the same page."""
        return (
            self._codecs[number] == codec
            and self._lengths[number] == len(data)
            and self.read(number)[1] == data
        )

    def codec(self, number: int) -> int:
        """The id of the codec that made the copy."""
        return self._codecs[number]

    def read(self, number: int) -> tuple[int, bytes]:
        """The copy's codec and bytes."""
        data = self._allocator.read(self._handles[number], self._lengths[number])
        return self._codecs[number], data

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the tables that are in RAM."""
        return resident(self._handles, self._lengths, self._codecs, self._references, self._free)
