"""Pages out: looked up in one hold of the lock, read and decompressed without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from coldpress.backpressure import Background, Inline
from coldpress.block import BlockError
from coldpress.blockstore import BlockStore
from coldpress.entries import Entries
from coldpress.errors import DeviceError, PipelineClosed, SlotEmpty
from coldpress.locks import Gate
from coldpress.promotion import Promotion
from coldpress.roles.entry_type import EntryType
from coldpress.roles.packer import DeviceObject
from coldpress.table import FOLIO, PAYLOAD_AT, TAG_MASK

_WINDOW = 32  # slots looked up in one hold of the lock, their objects copied
_ALONG = 8  # objects brought along by readahead in one hold of the lock


_Found = tuple[int, int, int, EntryType, Any]
"""An object that some slots of a request share: the first of them, how many, word, type, token."""


class Loads:
    """Loads pages from wherever they are.

    Attributes: `refaults`, pages that the device served.

    Notes: thread-safe. `several`: more than one read of a `many` may be in flight, as many as the
    devices gain by.
    """

    def __init__(
        self,
        gate: Gate,
        entries: Entries,
        store: BlockStore,
        promotion: Promotion,
        backpressure: Inline | Background,
        page_size: int,
        *,
        several: bool,
    ) -> None:
        self.refaults = 0
        self._gate = gate
        self._entries = entries
        self._store = store
        self._promotion = promotion
        self._backpressure = backpressure
        self._page_size = page_size
        self._several = several
        # What readahead brings along must be looked up after it has come.
        self._window = 1 if promotion.readahead else _WINDOW
        self._readers: ThreadPoolExecutor | None = None
        self._width = 0  # threads that they are
        self._starting = threading.Lock()

    def page(self, slot: int) -> bytes:
        """The slot's page. Raises as `Pipeline.load` does."""
        entries = self._entries
        gate = self._gate
        while True:
            with gate.lock:
                if gate.closed:
                    gate.check()
                word = entries.table.get(slot)
                tag = word & TAG_MASK
                one = entries.types[tag]
                if one is None:
                    raise SlotEmpty(slot)
                token = one.fetch(slot, word >> PAYLOAD_AT)
                order = entries.orders[tag]
                if order is not None:
                    order.touch(entries.known_as(slot) if word & FOLIO else slot)
            if tag != entries.device_tag:
                pages = one.decode(token)
            else:
                found = self._from_device(slot, 1, word, one, token)
                if found is None:
                    continue
                pages = found
            return pages if len(pages) == self._page_size else self._cut(slot, 1, pages)

    def many(self, slot: int, out: memoryview) -> None:
        """Fill `out` with the pages of consecutive slots. Raises at the first that fails."""
        size = self._page_size
        device = self._entries.device_tag
        stop = slot + len(out) // size
        at = 0
        while slot < stop:
            found, empty = self._look_up(slot, stop)
            far = self._read_ahead_of_use([one for one in found if one[2] & TAG_MASK == device])
            for first, count, word, one, token in found:
                if word & TAG_MASK == device:
                    pages = next(far)
                    if isinstance(pages, Exception):
                        raise pages
                else:
                    pages = one.decode(token)
                end = at + count * size
                whole = len(pages) == end - at
                out[at:end] = pages if whole else self._cut(first, count, pages)
                at = end
                slot = first + count
            if empty is not None:
                raise empty

    def close(self) -> None:
        """End the reading threads; called without the pipeline's lock."""
        with self._starting:
            if self._readers is not None:
                self._readers.shutdown()

    def _look_up(self, slot: int, stop: int) -> tuple[list[_Found], SlotEmpty | None]:
        """The objects of some slots before `stop`, up to the first that is empty."""
        entries = self._entries
        found: list[_Found] = []
        window = min(stop, slot + self._window)
        with self._gate.entered():
            while slot < window:
                word = entries.table.get(slot)
                tag = word & TAG_MASK
                one = entries.types[tag]
                if one is None:
                    return found, SlotEmpty(slot)
                try:
                    token = one.fetch(slot, word >> PAYLOAD_AT)
                except SlotEmpty as empty:
                    return found, empty
                pages = 1
                order = entries.orders[tag]
                if order is not None:
                    order.touch(entries.known_as(slot) if word & FOLIO else slot)
                if word & FOLIO:
                    while slot + pages < stop and entries.table.get(slot + pages) == word:
                        pages += 1
                found.append((slot, pages, word, one, token))
                slot += pages
        return found, None

    def _read_ahead_of_use(self, far: Sequence[_Found]) -> Iterator[bytes | Exception]:
        """The contents of objects on the device, in order, or why they can not be had."""
        if len(far) < 2 or not self._several:
            return map(self._read, far)
        reads = self._store.space.queue_depth
        if reads < 2:
            return map(self._read, far)
        # Each thread gets a few at a time: a wake-up costs as much as a read.
        share = -(-len(far) // reads)
        work = [self._submit(far[at : at + share], reads) for at in range(0, len(far), share)]
        return (pages for part in work for pages in part.result())

    def _read(self, found: _Found) -> bytes | Exception:
        slot, count, *_ = found
        try:
            pages = self._from_device(*found)
            if pages is None:  # they have changed, perhaps each by itself
                return b"".join(map(self.page, range(slot, slot + count)))
            return pages
        except Exception as error:
            return error

    def _cut(self, slot: int, count: int, pages: bytes) -> bytes:
        """So many pages from the slot on, of all that its object gave."""
        size = self._page_size
        if len(pages) == count * size:
            return pages
        first = slot % (len(pages) // size) * size
        return pages[first : first + count * size]

    def _from_device(
        self, slot: int, count: int, word: int, one: EntryType, token: DeviceObject
    ) -> bytes | None:
        """All the object's pages; None if it changed while it was read: look it up again."""
        if self._promotion.readahead and self._promotion.is_due(word):
            token.pages = self._store.pages_of(token)
        try:
            pages: bytes = one.decode(token)
        except BlockError as error:
            with self._gate.lock:
                self._store.count_read(token)
                # The block may have been freed and written again between the look at the word and
                # the read. Only bytes that the present word points at can be damaged.
                if self._is_same(slot, word, token):
                    raise self._store.corrupt(token, error) from error
            return None
        except DeviceError:
            with self._gate.lock:
                if self._gate.closed:
                    raise PipelineClosed("the pipeline was closed during a load") from None
                # The object may be elsewhere by now, and the device drained and closed.
                if self._is_same(slot, word, token):
                    raise
            return None
        commit = self._promotion.prepare(word, token, pages)
        with self._gate.lock:
            self._store.count_read(token)
            self.refaults += count
            same = self._is_same(slot, word, token)
            if same and not self._entries.covers(slot, word, token):
                why = BlockError("the object is of other slots than the block's table says")
                raise self._store.corrupt(token, why)
            # A promotion never waits for room, nor takes it from a store that does.
            if same and self._may_promote() and self._promotion.consider(slot, word, commit):
                self._backpressure.promoted()
        if token.others:
            others = iter(token.others)
            while (some := list(islice(others, _ALONG))) and self._bring_along(token, some):
                pass
            self._touch(slot)
        return pages

    def _is_same(self, slot: int, word: int, token: DeviceObject) -> bool:
        """Whether the slot's object is still where it was when it was looked up."""
        # The word alone may have come back: the slot stored anew, at the same place of a block that
        # was written again meanwhile.
        return self._entries.table.get(slot) == word and self._store.is_current(token)

    def _touch(self, slot: int) -> None:
        """The page that was asked for is warmer than those that came along."""
        entries = self._entries
        with self._gate.lock:
            word = entries.table.get(slot)
            order = entries.orders[word & TAG_MASK]
            if order is not None and not self._gate.closed:
                order.touch(entries.known_as(slot))

    def _may_promote(self) -> bool:
        return not self._gate.closed and not self._backpressure.crowded

    def _bring_along(self, token: DeviceObject, some: Sequence[DeviceObject]) -> bool:
        """Promote these objects of the same block; False if there is no sense in more."""
        with self._gate.lock:
            for other in some:
                if not self._may_promote() or not self._store.is_current(token):
                    return False
                if not self._promotion.bring_along(other):
                    return False
            self._backpressure.promoted()
        return True

    def _submit(self, part: Sequence[_Found], reads: int) -> Future[list[bytes | Exception]]:
        with self._starting:
            self._gate.check()  # `close` shuts down what was started before it
            if self._readers is not None and self._width < reads:  # a device was added
                self._readers.shutdown()
                self._readers = None
            if self._readers is None:
                self._readers = ThreadPoolExecutor(reads, "coldpress-read")
                self._width = reads
            return self._readers.submit(lambda: list(map(self._read, part)))
