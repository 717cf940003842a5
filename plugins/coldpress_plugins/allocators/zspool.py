"""The pool of zsmalloc: zspages cut into equal objects, and handles that outlive a move.

Source: `zs_malloc`, `zs_free` and `__zs_compact` in Linux's mm/zsmalloc.c.
"""

from __future__ import annotations

from array import array

import coldpress
from coldpress import Buffer, PoolBudget, ReservedMapping
from coldpress.flat import resident, table
from coldpress_plugins.allocators.grouped import GroupedLists
from coldpress_plugins.allocators.size_classes import class_of_length, size_classes

GROUPS = 10  # a class's zspages are listed by tenths of fullness; full ones are in no list
FRESH = 0x8000  # flag of a free head: from this object on, none was ever used
HANDLE_MASK = (1 << 31) - 1
ROW_BITS = 40  # a handle's row: zspage and index, or for a free handle the next free one


class ZsPool:
    """Zspages, each contiguous in a reserved mapping, and all tables about them.

    A handle has a row of 5 bytes: its object's zspage and, in the low bits, the object's index
    there. Free handles are chained through their rows: the next one plus one, all index bits set.
    In front of each object stand 8 bytes: owner << 32 | handle << 1 | 1 while it is allocated, so
    that `compact` finds its handle, else (next free object) << 1. What was never used is not read,
    but by `zspage`: the system makes a zspage real page by page. What was freed is zeros.

    Attributes: `page_size`; `objects` allocated; `pool_bytes`, whole zspages.

    Notes: not thread-safe; the pipeline calls under its lock. All but `compact` are O(1), apart
    from copying and from the system's own work for a zspage that is taken or given back.
    """

    def __init__(self, budget: PoolBudget, page_size: int, chain: int) -> None:
        classes = size_classes(page_size, chain)
        self._bits = max(one.objects for one in classes).bit_length()
        self._mask = (1 << self._bits) - 1  # no object has this index
        most = 1 << min(ROW_BITS - self._bits, 31)
        zspages = min(max(budget.limit // page_size, 1), most)
        self.page_size = page_size
        self.objects = 0
        self.pool_bytes = 0
        self._extent = max(one.pages for one in classes) * page_size
        self._mapping = ReservedMapping(budget, self._extent, zspages)
        self._view = self._mapping.view
        self._words = self._view.cast("Q")
        self._zeros = memoryview(bytes(page_size))
        # of a class
        self._size = array("I", [one.size for one in classes])
        self._bytes = array("I", [one.pages * page_size for one in classes])
        self._capacity = array("I", [one.objects for one in classes])
        self._class_of_length = array("B", class_of_length(classes, page_size))
        # of a zspage
        self._class = table("B", zspages)
        self._inuse = table("H", zspages)
        self._free = table("H", zspages)
        self._links = table("I", 2 * zspages)
        self._lists = GroupedLists(self._links, 2, GROUPS * len(classes))
        # of a handle
        self._handles = min(max(budget.limit // classes[0].size, 1), most - 1)
        self._low = table("I", self._handles)
        self._high = table("B", self._handles)
        self._fresh_handle = 0  # handles from here on were never used
        self._free_handle = 0  # the handle freed last, plus one

    def alloc(self, data: Buffer, owner: int = 0) -> int:
        """See `Allocator.alloc`."""
        if type(data) is not bytes and len(data):
            data = memoryview(data).cast("B")
        length = len(data)
        if length == 0 or length > self.page_size:
            raise ValueError(f"an object of {length} bytes; it can have 1 to {self.page_size}")
        number = self._class_of_length[length]
        handle = self._free_handle - 1
        if handle < 0:
            handle = self._fresh_handle
            if handle == self._handles:
                return -1
        group = self._lists.highest(number * GROUPS, number * GROUPS + GROUPS)
        if group >= 0:
            zspage = self._lists.first(group)
        else:
            zspage = self._mapping.acquire(self._bytes[number])
            if zspage < 0:
                return -1
            self.pool_bytes += self._bytes[number]
            self._class[zspage] = number
            self._inuse[zspage] = 0
            self._free[zspage] = FRESH
        if handle == self._fresh_handle:
            self._fresh_handle = handle + 1
        else:
            high = self._high[handle]
            self._free_handle = ((high << 32) | self._low[handle]) >> self._bits
        self.objects += 1
        at = self._enter(zspage, number, owner << 31 | handle)
        self._view[at : at + length] = data
        self._relist(zspage, number, group)
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
        row = self._row(handle)
        zspage = row >> self._bits
        number = self._class[zspage]
        group = self._group(zspage, number)
        self._leave(zspage, number, row & self._mask)
        self._set_row(handle, (self._free_handle << self._bits) | self._mask)
        self._free_handle = handle + 1
        self.objects -= 1
        self._relist(zspage, number, group)
        if self._inuse[zspage] == 0:
            self._release(zspage, number)

    def zspage(self, handle: int) -> coldpress.Zspage | None:
        """See `Allocator.zspage`. O(objects in the zspage)."""
        zspage = self._row(handle) >> self._bits
        number = self._class[zspage]
        capacity = self._capacity[number]
        if capacity == 1:
            return None
        size = self._size[number]
        start = zspage * self._extent
        headers = [self._words[start + index * size >> 3] for index in range(capacity)]
        owners = [header >> 32 for header in headers if header & 1]
        return coldpress.Zspage(zspage, size, self._bytes[number] // self.page_size, owners)

    def zspage_number(self, handle: int) -> int:
        """See `Allocator.zspage_number`."""
        zspage = self._row(handle) >> self._bits
        return -1 if self._capacity[self._class[zspage]] == 1 else zspage

    def compact(self) -> int:
        """See `Allocator.compact`. O(objects moved) and, per class, O(zspages not full)."""
        before = self.pool_bytes
        for number in range(len(self._size)):
            self._compact_class(number)
        return before - self.pool_bytes

    def resident_bytes(self) -> int:
        """See `Allocator.resident_bytes`."""
        return self._mapping.resident_bytes()

    @property
    def metadata_bytes(self) -> int:
        """See `Allocator.metadata_bytes`."""
        tables = resident(self._class, self._inuse, self._free, self._links, self._low, self._high)
        return tables + self._lists.metadata_bytes + self._mapping.metadata_bytes

    def close(self) -> None:
        """Give all real memory back, whoever still holds a method of this pool."""
        self._mapping.close()

    def _row(self, handle: int) -> int:
        if handle >= 0 and handle < self._fresh_handle:
            high = self._high[handle]
            row = (high << 32) | self._low[handle]
            if row & self._mask != self._mask:
                return row
        raise ValueError(f"handle {handle} is not allocated")

    def _set_row(self, handle: int, row: int) -> None:
        self._low[handle] = row & 0xFFFFFFFF
        self._high[handle] = row >> 32

    def _where(self, handle: int, length: int) -> int:
        """The offset of the object's bytes; `ValueError` if it can not have that many."""
        row = self._row(handle)
        zspage = row >> self._bits
        number = self._class[zspage]
        size = self._size[number]
        at = zspage * self._extent + (row & self._mask) * size
        if self._capacity[number] > 1:
            at += 8
            size -= 8
        if length < 0 or length > size:
            raise ValueError(f"{length} bytes of an object that has at most {size}")
        return at

    def _enter(self, zspage: int, number: int, name: int) -> int:
        """Give the zspage's first free object to a handle; the offset of the object's bytes.

        `name` is the handle and, above its 31 bits, the owner.
        """
        index = self._free[zspage]
        fresh = index & FRESH
        index -= fresh
        at = zspage * self._extent + index * self._size[number]
        self._free[zspage] = fresh + index + 1 if fresh else self._words[at >> 3] >> 1
        self._inuse[zspage] += 1
        self._set_row(name & HANDLE_MASK, (zspage << self._bits) | index)
        if self._capacity[number] > 1:
            self._words[at >> 3] = (name << 1) | 1
            at += 8
        return at

    def _leave(self, zspage: int, number: int, index: int) -> None:
        """Put the object first among the zspage's free ones."""
        self._inuse[zspage] -= 1
        if self._inuse[zspage]:  # else the zspage goes back whole
            size = self._size[number]
            at = zspage * self._extent + index * size
            self._view[at : at + size] = self._zeros[:size]
            self._words[at >> 3] = self._free[zspage] << 1
            self._free[zspage] = index

    def _group(self, zspage: int, number: int) -> int:
        """The list in which the zspage belongs; -1, none, if it is full or empty."""
        inuse = self._inuse[zspage]
        capacity = self._capacity[number]
        if inuse == 0 or inuse == capacity:
            return -1
        return number * GROUPS + GROUPS * inuse // capacity

    def _relist(self, zspage: int, number: int, group: int) -> None:
        """Move the zspage from this list (-1: none) to the one where it belongs."""
        to = self._group(zspage, number)
        if to != group:
            if group >= 0:
                self._lists.drop(zspage, group)
            if to >= 0:
                self._lists.push(zspage, to)

    def _release(self, zspage: int, number: int) -> None:
        self._mapping.release(zspage, self._bytes[number])
        self.pool_bytes -= self._bytes[number]

    def _compact_class(self, number: int) -> None:
        """Empty the least full zspages into the fullest, as long as that frees whole ones."""
        start = number * GROUPS
        stop = start + GROUPS
        capacity = self._capacity[number]
        room = 0
        for group in range(start, stop):
            zspage = self._lists.first(group)
            while zspage >= 0:
                room += capacity - self._inuse[zspage]
                zspage = self._lists.after(zspage)
        target = -1
        while room >= capacity:
            if target < 0:
                group = self._lists.highest(start, stop)
                target = self._lists.first(group)
                self._lists.drop(target, group)
            group = self._lists.lowest(start, stop)
            source = self._lists.first(group)
            self._lists.drop(source, group)
            self._move(source, target, number)
            self._relist(source, number, -1)
            if self._inuse[source] == 0:
                self._release(source, number)
                room -= capacity
            if self._inuse[target] == capacity:
                target = -1
        if target >= 0:
            self._relist(target, number, -1)

    def _move(self, source: int, target: int, number: int) -> None:
        """Move objects until the source is empty or the target full."""
        size = self._size[number]
        capacity = self._capacity[number]
        index = 0
        while self._inuse[source] and self._inuse[target] < capacity:
            at = source * self._extent + index * size
            header = self._words[at >> 3]
            if header & 1:
                to = self._enter(target, number, header >> 1)
                self._view[to : to + size - 8] = self._view[at + 8 : at + size]
                self._leave(source, number, index)
            index += 1
