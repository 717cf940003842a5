"""The pipeline: slots of pages over a compressed pool over a device."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from operator import index
from types import TracebackType
from typing import Any

from coldpress.backpressure import WRITERS, Background, Inline
from coldpress.block import BlockError
from coldpress.blockstore import BlockStore
from coldpress.budget import PoolBudget
from coldpress.buffers import plain_bytes
from coldpress.cleaner import Cleaner
from coldpress.codecs import Codecs
from coldpress.component import Buffer
from coldpress.config import PipelineConfig, load_config
from coldpress.entries import Entries, only_one
from coldpress.errors import (
    ConfigError,
    DeviceError,
    PageLength,
    PageRefused,
    PipelineClosed,
    PoolFull,
    Problem,
    SlotEmpty,
    SlotRange,
)
from coldpress.promotion import Promotion
from coldpress.roles.entry_type import (
    DeviceEntryType,
    EntryContext,
    EntryType,
    ShadowEntryType,
)
from coldpress.roles.packer import DeviceObject
from coldpress.staging import headroom
from coldpress.stats import Stats
from coldpress.table import TAG_BITS, TAG_MASK
from coldpress.units import format_size
from coldpress.writeback import Around, Writeback


class Pipeline:
    """Pages by slot number, compressed in RAM up to a limit, the coldest on a device.

    Parameters: `config`; `synchronous`: writeback is done by the storing thread, in the same
    steps at each run, not by threads in the background; `around_writeback`: a context that each
    round of synchronous writeback is put in, to measure it.

    Notes: thread-safe. Pages are compressed and decompressed, objects read and blocks written
    without a lock; one lock is held for each change of the tables.
    """

    def __init__(
        self,
        config: PipelineConfig,
        *,
        synchronous: bool = False,
        around_writeback: Around = nullcontext,
    ) -> None:
        config.use_once()
        self.config = config
        self._page_size = config.page_size
        self._slots = config.slots
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._closed = False
        self._refaults = 0
        config.packer.open(config.page_size)
        in_flight = 0 if synchronous else WRITERS
        self._budget = PoolBudget(
            config.allocator.limit,
            headroom=headroom(config.allocator.limit, config.packer, in_flight),
        )
        try:
            config.allocator.open(self._budget, config.page_size)
        except MemoryError as error:
            raise ConfigError([Problem("allocator.limit", str(error))]) from error
        config.policy.open(config.slots)
        self._codecs = Codecs(config.compressor)
        self._store = BlockStore(config.device, config.packer, config.page_size)
        try:
            self._compose(config, around_writeback)
            self._backpressure: Inline | Background = (
                Inline(self._writeback) if synchronous else Background(self._writeback, self._lock)
            )
        except BaseException:
            self._store.close()
            raise

    def _compose(self, config: PipelineConfig, around: Around) -> None:
        context = EntryContext(
            page_size=config.page_size,
            allocator=config.allocator,
            budget=self._budget,
            codecs=self._codecs,
            store=self._store,
        )
        for one in config.entry_types:
            one.open(context)
        self._entries = Entries(
            config.slots,
            config.entry_types,
            only_one(config.entry_types, DeviceEntryType),
            only_one(config.entry_types, ShadowEntryType),
            config.policy,
        )
        # The claimers come first, in the order in which they are asked.
        self._claimers = list(enumerate(config.entry_types[: len(config.entries)], start=1))
        self._promotion = Promotion(
            self._entries,
            config.writeback.promote,
            self._prepare,
            keeps_compressed=config.packer.keeps_compressed,
        )
        self._cleaner = Cleaner(self._entries, self._store, config.page_size, self._lock)
        self._writeback = Writeback(
            self._entries,
            self._store,
            config.allocator,
            self._budget,
            self._codecs,
            self._cleaner,
            self._lock,
            config.page_size,
            config.writeback.high,
            config.writeback.accept,
            around,
        )

    # -- pages in ---------------------------------------------------------------------------

    def store(self, slot: int, page: Buffer) -> None:
        """Keep `page` (`page_size` bytes) under this slot.

        If it raises, the slot still holds what it held before. Raises `SlotRange`, `PageLength`,
        `PoolFull`, `PipelineClosed`.
        """
        view = self._page_view(page)
        self._store_page(self._slot(slot), view)

    def store_many(self, slot: int, buffer: Buffer) -> None:
        """Keep consecutive pages under consecutive slots, the first one under `slot`.

        Raises as `store` does; the pages before the one that failed are stored.
        """
        view = plain_bytes(buffer)
        size = self._page_size
        slot, count = self._span(slot, view.nbytes)
        store = self._store_page
        for number in range(count):
            at = number * size
            store(slot + number, view[at : at + size])

    def _store_page(self, slot: int, page: memoryview) -> None:
        tag, one, prepared = self._prepare(slot, page)
        with self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            backpressure = self._backpressure
            backpressure.before_store()
            payload = -1 if backpressure.crowded else one.commit(slot, prepared)
            if payload < 0:
                payload = backpressure.wait_for_room(partial(one.commit, slot, prepared))
                if payload < 0:
                    raise self._pool_full()
            self._entries.publish(slot, tag, payload)
            backpressure.after_store()

    def _prepare(self, slot: int, page: memoryview) -> tuple[int, EntryType, Any]:
        """The entry type that takes the page, with its tag and what its `commit` needs."""
        for tag, one in self._claimers:
            prepared = one.prepare(page)
            if prepared is not None:
                return tag, one, prepared
        raise PageRefused(f"slot {slot}: no entry type takes this page; add 'raw' to entries")

    # -- pages out --------------------------------------------------------------------------

    def load(self, slot: int) -> bytes:
        """The page that was stored last under this slot.

        Raises `SlotEmpty` (a KeyError), `SlotRange`, `CorruptBlock`, `DeviceError`,
        `CompressorError`, `PipelineClosed`.
        """
        return self._load_page(self._slot(slot))

    def load_into(self, slot: int, buffer: bytearray | memoryview) -> None:
        """Like `load`, into a writable buffer of `page_size` bytes."""
        view = self._page_view(buffer)
        view[:] = self._load_page(self._slot(slot))

    def load_many(self, slot: int, buffer: bytearray | memoryview) -> None:
        """Fill `buffer` with the pages of consecutive slots. Raises at the first that fails."""
        view = plain_bytes(buffer)
        size = self._page_size
        slot, count = self._span(slot, view.nbytes)
        for number in range(count):
            at = number * size
            view[at : at + size] = self._load_page(slot + number)

    def _load_page(self, slot: int) -> bytes:
        entries = self._entries
        while True:
            with self._lock:
                if self._closed:
                    raise PipelineClosed("the pipeline is closed")
                word = entries.table.get(slot)
                tag = word & TAG_MASK
                one = entries.types[tag]
                if one is None:
                    raise SlotEmpty(slot)
                token = one.fetch(slot, word >> TAG_BITS)
                if entries.pool_types[tag] is not None:
                    entries.policy.touch(slot)
            if tag != entries.device_tag:
                page: bytes = one.decode(token)
                return page
            found = self._load_from_device(slot, word, one, token)
            if found is not None:
                return found

    def _load_from_device(
        self, slot: int, word: int, one: EntryType, token: DeviceObject
    ) -> bytes | None:
        """The page; None if the slot changed while it was read, and has to be looked up again."""
        try:
            page: bytes = one.decode(token)
        except BlockError as error:
            with self._lock:
                self._store.count_read(token)
                # The block may have been freed and written again between the look at the word and
                # the read. Only bytes that the present word points at can be damaged.
                if self._entries.table.get(slot) == word and self._store.is_current(token):
                    raise self._store.corrupt(token, error) from error
            return None
        except DeviceError:
            if self._closed:
                raise PipelineClosed("the pipeline was closed during a load") from None
            raise
        commit = self._promotion.prepare(token, page)
        with self._lock:
            self._store.count_read(token)
            self._refaults += 1
            # The word alone may have come back: the slot stored anew, at the same place of a block
            # that was written again meanwhile.
            same = self._entries.table.get(slot) == word and self._store.is_current(token)
            # A promotion never waits for room, nor takes it from a store that does.
            may = same and not self._backpressure.crowded
            if may and self._promotion.consider(slot, word, commit):
                self._backpressure.promoted()
        return page

    # -- the rest ---------------------------------------------------------------------------

    def invalidate(self, slot: int) -> None:
        """Forget the slot's page; an empty slot stays empty. Raises `SlotRange`."""
        slot = self._slot(slot)
        with self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            self._entries.empty(slot)

    def sync(self) -> None:
        """Bring everything stored so far to the device, durable; what is in RAM stays there.

        Blocks that are free again are discarded. Raises `DeviceError`; nothing is lost by it.
        """
        with self._sync_lock, self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            self._backpressure.pause()
            try:
                unlocked = self._backpressure.unlocked
                self._writeback.flush_open(unlocked=unlocked)
                self._writeback.write_dirty(unlocked=unlocked)
                self._store.flush()
            finally:
                self._backpressure.resume()

    def compact(self) -> int:
        """Move the pool's objects together; how many bytes went back to the system."""
        with self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            return self.config.allocator.compact()

    def stats(self) -> Stats:
        """The counters, all of one moment."""
        with self._lock:
            return self._stats()

    def _stats(self) -> Stats:
        entries, space, device = self._entries, self._store.space, self._store.counters
        return Stats(
            stored_pages=entries.stored,
            same_filled_pages=entries.counted_as("same_filled_pages"),
            incompressible_pages=entries.counted_as("incompressible_pages"),
            compressed_bytes=entries.object_bytes,
            pool_bytes=self._budget.used,
            pool_bytes_peak=self._budget.peak,
            pool_limit=self._budget.limit,
            pool_limit_hit=self._budget.limit_hits,
            written_back_pages=self._writeback.counters.pages,
            writeback_blocks=device.writes,
            writeback_bytes=device.write_bytes,
            inversions=self._writeback.ranks.inversions,
            young_share=self._writeback.ranks.young_share,
            writeback_decompressions=self._writeback.counters.decompressions,
            device_reads=device.reads,
            device_read_bytes=device.read_bytes,
            refaults=self._refaults,
            promoted_pages=self._promotion.pages,
            clean_drops=self._writeback.counters.clean_drops,
            cleaned_blocks=self._cleaner.counters.blocks,
            cleaned_bytes=self._cleaner.counters.bytes,
            payload_bytes=device.written_payload,
            live_bytes=space.live_bytes,
            dead_bytes=space.payload_bytes - space.live_bytes,
            pending_bytes=0,
            device_bytes=space.pages * self._page_size,
            metadata_bytes=entries.metadata_bytes
            + self.config.allocator.metadata_bytes
            + space.metadata_bytes,
        )

    def pool_resident_bytes(self) -> int:
        """What the pool's mappings have in RAM, as the operating system counts it."""
        with self._lock:
            return self.config.allocator.resident_bytes() + sum(
                one.resident_bytes for one in self._entries.pool_types if one is not None
            )

    def close(self) -> None:
        """Release the device and all memory. Safe to call twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._backpressure.close()
                self.config.allocator.close()
                for one in self.config.entry_types:
                    one.close()
                self._store.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _slot(self, slot: int) -> int:
        # A numpy integer would wrap round in the arithmetic to come, a float fail half way.
        slot = index(slot)
        if not 0 <= slot < self._slots:
            raise SlotRange(slot, self._slots)
        return slot

    def _page_view(self, page: Buffer) -> memoryview:
        view = plain_bytes(page)
        if len(view) != self._page_size:
            raise PageLength(f"a page has {self._page_size} bytes, not {len(view)}")
        return view

    def _span(self, slot: int, size: int) -> tuple[int, int]:
        count, rest = divmod(size, self._page_size)
        if rest or not count:
            raise PageLength(f"{size} bytes are no whole pages of {self._page_size}")
        slot = self._slot(slot)
        self._slot(slot + count - 1)
        return slot, count

    def _pool_full(self) -> PoolFull:
        limit = format_size(self._budget.limit)
        error = self._store.last_error
        why = f"nothing can be written out: {error}" if error else "nothing is left to write out"
        return PoolFull(f"the pool is at its limit of {limit} and {why}")


def open(source: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Pipeline:  # noqa: A001
    """Open the pipeline that a file, or a mapping of the same shape, describes.

    With nothing, a default: zstd, zsmalloc with 64 MiB, lru, bounce, an unnamed temporary file.
    Raises `ConfigError` with all that is wrong, `PluginError`, `DeviceError`.
    """
    return Pipeline(load_config(source))
