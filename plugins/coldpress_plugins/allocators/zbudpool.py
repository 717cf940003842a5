"""The pool of zbud: one or two objects a page, each at its own end.

Source: `zbud_alloc` and `zbud_free` in mm/zbud.c of Linux up to 6.14.
"""

from __future__ import annotations

from coldpress import Buffer, PoolBudget, ReservedMapping
from coldpress.flat import resident, table
from coldpress_plugins.allocators.grouped import GroupedLists

CHUNKS = 64  # in a page; room is counted in chunks
USABLE = 63  # all but the header, which is the first chunk


class ZbudPool:
    """Pages of two buddies, and the two bytes a page that say how large these are.

    A handle is a place: page * 2, plus 1 for the buddy at the page's end. A page with one buddy is
    in the list of those with as many chunks free; its links stand in its header. An object that
    needs all 64 chunks begins at the page's start, over the header, and is in no list. What was
    freed is zeros.

    Attributes: `page_size`; `objects` allocated; `pool_bytes`, whole pages.

    Notes: not thread-safe; the pipeline calls under its lock. All O(1), apart from copying and from
    the system's own work for a page that is taken or given back.
    """

    def __init__(self, budget: PoolBudget, page_size: int) -> None:
        pages = min(max(budget.limit // page_size, 1), 2**31)
        self.page_size = page_size
        self.objects = 0
        self.pool_bytes = 0
        self._chunk = page_size // CHUNKS
        self._handles = 2 * pages
        self._mapping = ReservedMapping(budget, page_size, pages)
        self._view = self._mapping.view
        self._zeros = memoryview(bytes(page_size))
        self._chunks = table("B", self._handles)  # of each buddy; 0: there is none
        self._lists = GroupedLists(self._view.cast("I"), page_size // 4, CHUNKS)

    def alloc(self, data: Buffer, owner: int = 0) -> int:
        """See `Allocator.alloc`; the owner is not kept."""
        if type(data) is not bytes and len(data):
            data = memoryview(data).cast("B")
        length = len(data)
        if length == 0 or length > self.page_size:
            raise ValueError(f"an object of {length} bytes; it can have 1 to {self.page_size}")
        chunks = (length + self._chunk - 1) // self._chunk
        room = self._lists.lowest(chunks, USABLE)
        if room >= 0:
            page = self._lists.first(room)
            self._lists.drop(page, room)
        else:
            page = self._mapping.acquire(self.page_size)
            if page < 0:
                return -1
            self.pool_bytes += self.page_size
        handle = 2 * page
        if self._chunks[handle]:
            handle += 1
        self._chunks[handle] = chunks
        self.objects += 1
        at = self._where(handle, length)
        self._view[at : at + length] = data
        if chunks < CHUNKS and self._chunks[handle ^ 1] == 0:
            self._lists.push(page, USABLE - chunks)
        return handle

    def read(self, handle: int, length: int) -> bytes:
        """See `Allocator.read`."""
        at = self._where(handle, length)
        return bytes(self._view[at : at + length])

    def copy_into(self, handle: int, length: int, out: memoryview, at: int) -> None:
        """See `Allocator.copy_into`."""
        start = self._where(handle, length)
        out[at : at + length] = self._view[start : start + length]

    def free(self, handle: int) -> None:
        """See `Allocator.free`. Raises `ValueError` for a handle that is not allocated."""
        at = self._where(handle, 0)
        page = handle >> 1
        chunks = self._chunks[handle]
        buddy = self._chunks[handle ^ 1]
        self._chunks[handle] = 0
        self.objects -= 1
        if buddy:
            size = chunks * self._chunk
            self._view[at : at + size] = self._zeros[:size]
            self._lists.push(page, USABLE - buddy)
            return
        if chunks < CHUNKS:
            self._lists.drop(page, USABLE - chunks)
        self._mapping.release(page, self.page_size)
        self.pool_bytes -= self.page_size

    def zspage(self, handle: int) -> None:
        """See `Allocator.zspage`: zbud has none."""

    def zspage_number(self, handle: int) -> int:
        """See `Allocator.zspage_number`."""
        return -1

    def compact(self) -> int:
        """0: a handle is a place, so nothing can move."""
        return 0

    def resident_bytes(self) -> int:
        """See `Allocator.resident_bytes`."""
        return self._mapping.resident_bytes()

    @property
    def metadata_bytes(self) -> int:
        """See `Allocator.metadata_bytes`."""
        tables = resident(self._chunks)
        return tables + self._lists.metadata_bytes + self._mapping.metadata_bytes

    def close(self) -> None:
        """Give all real memory back, whoever still holds a method of this pool."""
        self._mapping.close()

    def _where(self, handle: int, length: int) -> int:
        """The offset of the object's bytes; `ValueError` if it can not have that many."""
        if handle < 0 or handle >= self._handles or self._chunks[handle] == 0:
            raise ValueError(f"handle {handle} is not allocated")
        chunks = self._chunks[handle]
        size = chunks * self._chunk
        if length < 0 or length > size:
            raise ValueError(f"{length} bytes of an object that has at most {size}")
        page = (handle >> 1) * self.page_size
        if handle & 1:
            return page + self.page_size - size
        return page if chunks == CHUNKS else page + self._chunk
