"""Objects that are longer than the allocator's largest: a chain of pieces."""

from __future__ import annotations

from coldpress import Allocator

_LINK = 4  # bytes at the end of every piece but the last: the next one's handle


class Chain:
    """Objects of any length in an allocator, each known by its first piece's handle.

    All pieces but the last are as large as the allocator takes; so an object's length alone says
    how many there are. An object of a single piece is what the allocator itself would make of it.

    Notes: not thread-safe; the pipeline calls under its lock. O(pieces) but for the copying.
    """

    def __init__(self, allocator: Allocator) -> None:
        self._largest = allocator.max_size
        self._body = self._largest - _LINK
        self._alloc = allocator.alloc
        self._read = allocator.read
        self._copy = allocator.copy_into
        self._free = allocator.free

    def store(self, data: bytes, owner: int) -> int:
        """Copy the object in; its handle, or -1, and nothing changed, if there is no room."""
        if len(data) <= self._largest:
            return self._alloc(data, owner)
        # From the end on, since each piece holds the next one's handle.
        at = (self._pieces(len(data)) - 1) * self._body
        handle = self._alloc(data[at:], owner)
        while at and handle >= 0:
            at -= self._body
            link = handle.to_bytes(_LINK, "little")
            before = self._alloc(data[at : at + self._body] + link, owner)
            if before < 0:
                self.free(handle, len(data) - at - self._body)
            handle = before
        return handle

    def read(self, handle: int, length: int) -> bytes:
        """A copy of the object."""
        if length <= self._largest:
            return self._read(handle, length)
        out = bytearray(length)
        self.copy_into(handle, length, memoryview(out), 0)
        return bytes(out)

    def copy_into(self, handle: int, length: int, out: memoryview, at: int) -> None:
        """Copy the object to `out` from `at` on; nothing outside it is touched."""
        for _ in range(self._pieces(length) - 1):
            # The link goes along, and the next piece, which is longer than it, over it.
            self._copy(handle, self._largest, out, at)
            at += self._body
            length -= self._body
            handle = int.from_bytes(out[at : at + _LINK], "little")
        self._copy(handle, length, out, at)

    def free(self, handle: int, length: int) -> None:
        """End the object."""
        for _ in range(self._pieces(length) - 1):
            following = self._read(handle, self._largest)[self._body :]
            self._free(handle)
            handle = int.from_bytes(following, "little")
        self._free(handle)

    def _pieces(self, length: int) -> int:
        # The last piece needs no link, so it always has more bytes than one.
        return max(1, -(-(length - _LINK) // self._body))
