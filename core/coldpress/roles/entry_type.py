"""The entry type role: what a slot's word in the swap table can mean."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from coldpress.component import Component

if TYPE_CHECKING:
    from coldpress.blockstore import BlockStore
    from coldpress.budget import PoolBudget
    from coldpress.codecs import Codecs
    from coldpress.roles.allocator import Allocator, Zspage


@attrs.frozen
class EntryContext:
    """The parts of the pipeline that an entry type may use.

    A pipeline may get another compressor or packer while it runs: `codecs.current`, the codec id
    and the method that go together, is looked at once for each page, and the id kept with what the
    method returned; `largest_folio` is asked for whenever it is needed.

    Attributes:
        page_size: bytes of a page.
        allocator: keeps objects in the pool.
        budget: the pool's limit, from which real bytes that are not the allocator's are taken.
        codecs: compresses pages and turns stored objects back into them.
        store: reads the device.
        cache_pages: how many pages the swap cache may hold.
        largest_folio: the most bytes that a folio's object may have; 0: no folio is one object.
    """

    page_size: int
    allocator: Allocator
    budget: PoolBudget
    codecs: Codecs
    store: BlockStore
    cache_pages: int

    @property
    def largest_folio(self) -> int:
        return self.store.largest_folio


@attrs.define(slots=False, eq=False, kw_only=True)
class EntryType(Component):
    """What a slot's word can mean: claims a page at store, gives it back at load.

    At a store, the types named in the pipeline's `entries` are asked in turn; the first whose
    `prepare` does not return None gets the page. Its word is the type's tag, which the core
    gives out, and 59 bits that the type's `commit` returns.

    A folio, 2**order pages stored as one, is offered to the types with `folios` alone, and page by
    page to all if none of them takes it. The one payload stands in the words of all its slots. If
    its `span` is more than one, `release` is called once, when the last of them has changed;
    otherwise for each slot by itself. What was committed but is not needed is released once.

    Notes:
        `prepare` and `decode` run on any number of threads without a lock, and may be slow. All
        other calls run under the pipeline's lock and must be O(1) but for copying one object.
        A fetched token must stay good whatever happens to the slot afterwards.
        What a type keeps is memory that the budget counts, or flat tables that `metadata_bytes`
        counts; a slot costs no Python object.
    """

    counts_as: ClassVar[str | None] = None
    """The counter in `Stats` that gives the slots of this type, if there is one."""

    folios: ClassVar[bool] = False
    """Whether `prepare` takes several pages as one; `commit` is given the first one's slot then."""

    takes_all: ClassVar[bool] = False
    """Whether `prepare` takes every page."""

    in_allocator: ClassVar[bool] = False
    """Whether its objects lie in the context's allocator. A page that is on its way into the swap
    cache is not offered to such a type; it is when it leaves the cache. When the allocator is
    replaced in a running pipeline, another instance of the type, opened with the new one, gets the
    pages to come, and this one is closed when the last of its own has left."""

    durable: ClassVar[bool] = False
    """Whether slots of this type can be brought back from a `persistent` device.

    A type with a role of its own (pool, cache, device, shadow) needs nothing for it. With any other
    it means that a payload alone says all: it is then written as it is, and after a reopen stands
    in a word again, without a `commit`. An image that somebody has made may have payloads that the
    type has never returned: if `fetch` or `decode` raises on one, or gives no whole page, the slot
    is damaged, and neither may do any harm. A type without it is refused on such a device.
    """

    def open(self, context: EntryContext) -> None:
        """Make ready, once, before any other call."""

    def prepare(self, page: memoryview) -> Any | None:
        """What `commit` needs to store `page` (contiguous, whole pages); None: not mine.

        `page` is the caller's: it may be kept until `commit` has stored it, and not changed.
        """
        return None

    def commit(self, slot: int, prepared: Any) -> int:
        """Store, and return the payload; -1, and nothing changed, if the pool has no room.

        It may then be called again with the same `prepared`.
        """
        raise TypeError(f"entry type {self.name!r} does not claim pages")

    @abc.abstractmethod
    def fetch(self, slot: int, payload: int) -> Any:
        """What `decode` needs, safe from everything that happens to the slot from now on.

        Raises `SlotEmpty` if the word stands for no page.
        """

    @abc.abstractmethod
    def decode(self, token: Any) -> bytes:
        """The page; of a folio, all its pages."""

    def span(self, payload: int) -> int:
        """How many slots the payload was committed for as one: 1, or 1 << order of a folio."""
        return 1

    def codec(self, payload: int) -> int:
        """The id of the codec that made the object; 0 if none did. Only to count what is left."""
        return 0

    @abc.abstractmethod
    def release(self, payload: int) -> None:
        """The word has left the table: free what it stood for."""

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of the type's own tables."""
        return 0

    def close(self) -> None:
        """Give all memory back. Nothing but `decode` of older tokens is called after this."""


@attrs.define(slots=False, eq=False, kw_only=True)
class PoolEntryType(EntryType):
    """An entry type whose object lies in the pool and can be written to the device as it is.

    No two objects that live at once have the same payload.

    Attributes:
        object_bytes: compressed bytes of all its objects.
        resident_bytes: what a mapping of its own, not the allocator's, has in RAM.
    """

    in_allocator: ClassVar[bool] = True
    """They do, unless the type says otherwise."""

    durable: ClassVar[bool] = True
    """They can: the core knows what their words stand for."""

    @property
    @abc.abstractmethod
    def object_bytes(self) -> int: ...

    @property
    def resident_bytes(self) -> int:
        return 0

    @abc.abstractmethod
    def describe(self, payload: int) -> tuple[int, int, int]:
        """The object's codec id, its folio order and its length in bytes."""

    def codec(self, payload: int) -> int:
        """The codec id that `describe` tells."""
        return self.describe(payload)[0]

    @abc.abstractmethod
    def copy_into(self, payload: int, out: memoryview, at: int) -> None:
        """Copy the object's bytes to `out` from `at` on; nothing is allocated or decompressed."""

    def zspage(self, payload: int) -> Zspage | None:
        """The zspage that the object shares with others' slots; None if it shares none."""
        return None

    def zspage_number(self, payload: int) -> int:
        """The `number` of that zspage, or -1. O(1)."""
        return -1

    @abc.abstractmethod
    def adopts(self, codec: int, order: int, length: int) -> bool:
        """Whether `adopt` takes an object like this."""

    @abc.abstractmethod
    def adopt(self, slot: int, codec: int, order: int, data: bytes) -> int:
        """Store bytes that are already compressed (promotion); the payload, or -1 if no room.

        `slot` is the folio's first. The payload is described as what was adopted, and its `span` is
        1 << `order`; one of another is released, and the object stays on the device alone.
        """


@attrs.define(slots=False, eq=False, kw_only=True)
class CacheEntryType(EntryType):
    """An entry type that holds pages uncompressed, in front of the pool: the swap cache.

    `commit` is given the pages themselves, one or a folio, and takes their bytes from the budget.
    The token of `fetch` is the pages as `bytes`. When pages are committed right after a payload of
    as many was released, they get that payload.

    Attributes:
        pages: how many it holds.
        resident_bytes: what its mapping has in RAM.
    """

    durable: ClassVar[bool] = True
    """They can: the core knows what their words stand for."""

    @property
    @abc.abstractmethod
    def pages(self) -> int: ...

    @property
    @abc.abstractmethod
    def resident_bytes(self) -> int: ...

    @abc.abstractmethod
    def overwrite(self, payload: int, pages: memoryview, at: int = 0) -> None:
        """Other contents for some of its pages, from the one with number `at` on."""


@attrs.define(slots=False, eq=False, kw_only=True)
class DeviceEntryType(EntryType):
    """An entry type whose object lies on the device."""

    durable: ClassVar[bool] = True
    """They can: the core knows what their words stand for."""

    largest_device: ClassVar[int] = 1 << 59
    """How many bytes a device may have for `place` to have room for every offset."""

    @abc.abstractmethod
    def place(self, offset: int, length: int) -> int:
        """The payload for an object of `length` bytes at this byte offset of the device.

        It is never 0: an offset is more than 0, and `length` from 1 to 64 KiB.
        """

    @abc.abstractmethod
    def locate(self, payload: int) -> tuple[int, int]:
        """The offset and length that `place` was given."""

    @abc.abstractmethod
    def seen(self, payload: int) -> bool:
        """Whether `mark_seen` made this payload."""

    @abc.abstractmethod
    def mark_seen(self, payload: int) -> int:
        """The same place, remembered as read once."""


@attrs.define(slots=False, eq=False, kw_only=True)
class ShadowEntryType(EntryType):
    """An entry type for a slot that is empty but remembers when it was emptied.

    The kernel leaves such a word behind when a page is evicted (mm/workingset.c). A page that is
    stored again while fewer stores have passed than there are objects in the pool would not have
    been evicted by a pool a little larger: the policy is told that it is warm.
    """

    durable: ClassVar[bool] = True
    """They can: the core knows what their words stand for."""

    @abc.abstractmethod
    def mark(self, clock: int) -> int:
        """The payload for a slot emptied at this time, counted in stores."""

    @abc.abstractmethod
    def clock(self, payload: int) -> int:
        """The time that `mark` was given."""
