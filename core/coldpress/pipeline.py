"""The pipeline: slots of pages over a compressed pool over a device."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from coldpress.block import BlockError
from coldpress.blockstore import BlockStore, DeviceObject
from coldpress.budget import PoolBudget
from coldpress.codecs import Codecs
from coldpress.component import Buffer
from coldpress.config import PipelineConfig, load_config
from coldpress.entries import Entries
from coldpress.errors import (
    DeviceError,
    PageLength,
    PipelineClosed,
    PluginError,
    PoolFull,
    SlotEmpty,
    SlotRange,
)
from coldpress.roles.entry_type import (
    DeviceEntryType,
    EntryContext,
    EntryType,
    ShadowEntryType,
)
from coldpress.stats import Stats
from coldpress.table import TAG_BITS, TAG_MASK
from coldpress.units import format_size
from coldpress.writeback import Writeback

_NEVER, _FIRST = "never", "first"


class Pipeline:
    """Pages by slot number, compressed in RAM up to a limit, the coldest on a device.

    Notes: thread-safe. A page is compressed and decompressed, and read from the device, without a
    lock; a block is written, by the thread whose store made it due, under the pipeline's.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self._page_size = config.page_size
        self._slots = config.slots
        self._lock = threading.Lock()
        self._closed = False
        self._refaults = 0
        self._promoted = 0
        self._promote = config.writeback.promote
        self._budget = PoolBudget(config.allocator.limit, headroom=config.packer.block)
        config.allocator.open(self._budget, config.page_size)
        config.policy.open(config.slots)
        config.packer.open(config.page_size)
        self._codecs = Codecs(config.compressor)
        self._store = BlockStore(config.device, config.page_size, config.packer.block)
        try:
            self._compose(config)
        except BaseException:
            self._store.close()
            raise

    def _compose(self, config: PipelineConfig) -> None:
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
            _only(config.entry_types, DeviceEntryType),
            _only(config.entry_types, ShadowEntryType),
            config.policy,
        )
        # The claimers come first, in the order in which they are asked.
        self._claimers = list(enumerate(config.entry_types[: len(config.entries)], start=1))
        self._writeback = Writeback(
            self._entries,
            self._store,
            config.packer,
            config.allocator,
            self._budget,
            self._codecs,
            config.writeback.high,
            config.writeback.accept,
        )

    # -- pages in ---------------------------------------------------------------------------

    def store(self, slot: int, page: Buffer) -> None:
        """Keep `page` (`page_size` bytes) under this slot.

        If it raises, the slot still holds what it held before. Raises `SlotRange`, `PageLength`,
        `PoolFull`, `PipelineClosed`.
        """
        view = memoryview(page)
        if view.nbytes != self._page_size:
            raise PageLength(f"a page has {self._page_size} bytes, not {view.nbytes}")
        self._check_slot(slot)
        self._store_page(slot, view if view.format == "B" else view.cast("B"))

    def store_many(self, slot: int, buffer: Buffer) -> None:
        """Keep consecutive pages under consecutive slots, the first one under `slot`.

        Raises as `store` does; the pages before the one that failed are stored.
        """
        view = memoryview(buffer).cast("B")
        size = self._page_size
        count = self._check_span(slot, view.nbytes)
        store = self._store_page
        for number in range(count):
            at = number * size
            store(slot + number, view[at : at + size])

    def _store_page(self, slot: int, page: memoryview) -> None:
        for tag, one in self._claimers:  # noqa: B007  (the type that claimed is used below)
            prepared = one.prepare(page)
            if prepared is not None:
                break
        else:
            raise PoolFull(f"slot {slot}: no entry type takes this page; add 'raw' to entries")
        with self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            payload = one.commit(prepared)
            while payload < 0:
                if not self._writeback.make_room():
                    raise self._pool_full()
                payload = one.commit(prepared)
            self._entries.publish(slot, tag, payload)
            if self._budget.used > self._writeback.high:
                self._writeback.reclaim()

    # -- pages out --------------------------------------------------------------------------

    def load(self, slot: int) -> bytes:
        """The page that was stored last under this slot.

        Raises `SlotEmpty` (a KeyError), `SlotRange`, `CorruptBlock`, `DeviceError`,
        `CompressorError`, `PipelineClosed`.
        """
        self._check_slot(slot)
        return self._load_page(slot)

    def load_into(self, slot: int, buffer: bytearray | memoryview) -> None:
        """Like `load`, into a writable buffer of `page_size` bytes."""
        view = memoryview(buffer).cast("B")
        if view.nbytes != self._page_size:
            raise PageLength(f"a page has {self._page_size} bytes, not {view.nbytes}")
        self._check_slot(slot)
        view[:] = self._load_page(slot)

    def load_many(self, slot: int, buffer: bytearray | memoryview) -> None:
        """Fill `buffer` with the pages of consecutive slots. Raises at the first that fails."""
        view = memoryview(buffer).cast("B")
        size = self._page_size
        count = self._check_span(slot, view.nbytes)
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
                # The block may have been freed and written again between the look at the word and
                # the read. Only bytes that the present word points at can be damaged.
                if self._entries.table.get(slot) == word and self._store.is_current(token):
                    raise self._store.corrupt(token, error) from error
            return None
        except DeviceError:
            if self._closed:
                raise PipelineClosed("the pipeline was closed during a load") from None
            raise
        with self._lock:
            self._store.count_read(token)
            self._refaults += 1
            if self._promote != _NEVER and self._entries.table.get(slot) == word:
                self._consider_promotion(slot, word, token)
        return page

    def _consider_promotion(self, slot: int, word: int, token: DeviceObject) -> None:
        payload = word >> TAG_BITS
        if self._promote != _FIRST and not self._entries.device_type.seen(payload):
            self._entries.mark_seen(slot, word)
            return
        # Promotion never makes others leave: above the accept threshold it is skipped.
        if self._budget.used + self._page_size > self._writeback.accept:
            return
        for tag, one in enumerate(self._entries.pool_types):
            if one is not None and one.adopts(token.codec, token.length):
                adopted = one.adopt(token.codec, token.data)
                if adopted >= 0:
                    self._entries.promoted(slot, word, tag, adopted)
                    self._promoted += 1
                return

    # -- the rest ---------------------------------------------------------------------------

    def invalidate(self, slot: int) -> None:
        """Forget the slot's page; an empty slot stays empty. Raises `SlotRange`."""
        self._check_slot(slot)
        with self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            self._entries.empty(slot)

    def sync(self) -> None:
        """Bring everything stored so far to the device, durable; what is in RAM stays there.

        Blocks that are free again are discarded. Raises `DeviceError`; nothing is lost by it.
        """
        with self._lock:
            if self._closed:
                raise PipelineClosed("the pipeline is closed")
            self._writeback.sync()

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
            writeback_decompressions=self._codecs.writeback_decodes,
            device_reads=device.reads,
            device_read_bytes=device.read_bytes,
            refaults=self._refaults,
            promoted_pages=self._promoted,
            clean_drops=self._writeback.counters.clean_drops,
            cleaned_blocks=0,
            cleaned_bytes=0,
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

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot < self._slots:
            raise SlotRange(slot, self._slots)

    def _check_span(self, slot: int, size: int) -> int:
        count, rest = divmod(size, self._page_size)
        if rest or not count:
            raise PageLength(f"{size} bytes are no whole pages of {self._page_size}")
        self._check_slot(slot)
        self._check_slot(slot + count - 1)
        return count

    def _pool_full(self) -> PoolFull:
        limit = format_size(self._budget.limit)
        error = self._store.last_error
        why = f"nothing can be written out: {error}" if error else "nothing is left to write out"
        return PoolFull(f"the pool is at its limit of {limit} and {why}")


def _only(types: tuple[EntryType, ...], kind: Any) -> Any:
    found = [one for one in types if isinstance(one, kind)]
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise PluginError(f"a pipeline has exactly one {kind.__name__}, got {names}")
    return found[0]


def open(source: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Pipeline:  # noqa: A001
    """Open the pipeline that a file, or a mapping of the same shape, describes.

    With nothing, a default: zstd, zsmalloc with 64 MiB, lru, bounce, an unnamed temporary file.
    Raises `ConfigError` with all that is wrong, `PluginError`, `DeviceError`.
    """
    return Pipeline(load_config(source))
