"""The pipeline: slots of pages over a compressed pool over a device."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from operator import index
from types import TracebackType
from typing import Any

from coldpress.backpressure import WRITERS
from coldpress.budget import PoolBudget
from coldpress.buffers import plain_bytes
from coldpress.checkpoint import Checkpoint
from coldpress.component import Buffer
from coldpress.composition import Composition, open_store
from coldpress.config import PipelineConfig, load_config
from coldpress.devices import DeviceStatus
from coldpress.errors import DeviceError, PageLength, PipelineClosed, SlotRange
from coldpress.folio import folio_pages
from coldpress.locks import Gate, released
from coldpress.pools import open_allocator
from coldpress.scan import Progress
from coldpress.staging import headroom
from coldpress.stats import Stats
from coldpress.writeback import Around


class Pipeline(Composition):
    """Pages by slot number, compressed in RAM up to a limit, the coldest on a device.

    Parameters:
        config: what `coldpress.config.load_config` made of a pipeline file; it serves once.
        synchronous: writeback is done by the storing thread, in the same steps at each run, not by
            threads in the background.
        around_writeback: a context that each round of synchronous writeback is put in, to measure
            it.
        progress: is called now and then while a persistent device is read, with how many of its
            blocks were, and how many there are.

    Attributes:
        config: as it was given.

    Notes:
        Thread-safe. Pages are compressed and decompressed, objects read and blocks written without
        a lock; one lock is held for each change of the tables.
    """

    def __init__(
        self,
        config: PipelineConfig,
        *,
        synchronous: bool = False,
        around_writeback: Around = nullcontext,
        progress: Progress | None = None,
    ) -> None:
        config.use_once()
        self.config = config
        self._page_size = config.page_size
        self._slots = config.slots
        self._gate = Gate()
        self._sync_lock = threading.Lock()
        config.packer.open(config.page_size)
        in_flight = 0 if synchronous else WRITERS
        self._budget = PoolBudget(
            config.allocator.limit,
            headroom=headroom(config.allocator.limit, config.packer, in_flight),
        )
        open_allocator(config.allocator, self._budget, config.page_size)
        config.policy.open(config.slots)
        self._checkpoint: Checkpoint | None = None
        self._store = open_store(config, self._gate.lock)
        try:
            self._compose(config, synchronous, around_writeback, progress)
        except BaseException:
            with self._gate.lock:
                self._store.close()
            raise

    # -- pages in ---------------------------------------------------------------------------

    def store(self, slot: int, page: Buffer) -> None:
        """Keep `page` under this slot: `page_size` bytes, or a folio of 2, 4, 8 or 16 pages.

        A folio has at most 64 KiB and is compressed as one; its pages are those of consecutive
        slots, of which the first, `slot`, is a multiple of their number. If it raises, each slot
        still holds what it held before. Raises `SlotRange`, `PageLength`, `FolioShape`, `PoolFull`,
        `PipelineClosed`.
        """
        view = plain_bytes(page)
        slot = self._slot(slot)
        if len(view) == self._page_size:
            self._stores.page(slot, view)
            return
        pages = folio_pages(slot, len(view), self._page_size)
        self._slot(slot + pages - 1)
        self._stores.folio(slot, view, pages)

    def store_many(self, slot: int, buffer: Buffer) -> None:
        """Keep consecutive pages under consecutive slots, the first one under `slot`.

        `buffer` has a whole number of pages, one at least. Raises as `store` does; the pages before
        the one that failed are stored.
        """
        view = plain_bytes(buffer)
        size = self._page_size
        slot, count = self._span(slot, view.nbytes)
        store = self._stores.page
        for number in range(count):
            at = number * size
            store(slot + number, view[at : at + size])

    # -- pages out --------------------------------------------------------------------------

    def load(self, slot: int) -> bytes:
        """The page that was stored last under this slot, alone or in a folio.

        Raises `SlotEmpty` (a KeyError), `SlotRange`, `CorruptBlock`, `DeviceError`,
        `CompressorError`, `PipelineClosed`.
        """
        return self._loads.page(self._slot(slot))

    def load_into(self, slot: int, buffer: bytearray | memoryview) -> None:
        """Like `load`, into a writable buffer of `page_size` bytes.

        Raises `PageLength`, and as `load` does; the buffer is then as it was.
        """
        view = plain_bytes(buffer)
        if len(view) != self._page_size:
            raise PageLength(f"a page has {self._page_size} bytes, not {len(view)}")
        view[:] = self._loads.page(self._slot(slot))

    def load_many(self, slot: int, buffer: bytearray | memoryview) -> None:
        """Fill `buffer`, of a whole number of pages, with the pages of slots from `slot` on.

        Neighbours of one folio are read and decompressed together. Several reads are in flight at
        once where the device gains by it. Raises `PageLength`, and at the first slot that fails as
        `load` does; the pages before it are in the buffer.
        """
        view = plain_bytes(buffer)
        slot, _ = self._span(slot, view.nbytes)
        self._loads.many(slot, view)

    # -- the rest ---------------------------------------------------------------------------

    def invalidate(self, slot: int) -> None:
        """Forget the slot's page; an empty slot stays empty.

        Raises `SlotRange`, `PipelineClosed`.
        """
        slot = self._slot(slot)
        with self._gate.entered():
            self._entries.empty(slot)

    def sync(self) -> None:
        """Bring everything stored so far to the device, durable; what is in RAM stays there.

        Blocks that are free again are discarded. Raises `DeviceError`, and `PoolFull` if the pool
        has no room for what is in the swap cache; nothing is lost by it.
        """
        with self._sync_lock, self._gate.entered():
            self._cache.closed_to_new = True
            try:
                self._sync()
            finally:
                self._cache.closed_to_new = False

    def _sync(self) -> None:
        if not self._cache.drain():  # before the writers pause, for it may need them
            raise self._pool_full()
        self._backpressure.pause()
        try:
            unlocked = self._backpressure.unlocked
            if self._checkpoint is not None:
                self._checkpoint.sync(unlocked=unlocked)
                return
            self._store.persist(partial(self._writeback.flush_open, unlocked=unlocked))
            self._store.persist(partial(self._writeback.write_dirty, unlocked=unlocked))
            self._store.flush()
        except DeviceError:
            self._gate.check()  # a device that was closed meanwhile can not be written
            raise
        finally:
            self._backpressure.resume()

    def compact(self) -> int:
        """Move the pool's objects together; how many bytes went back to the system.

        Every other call waits meanwhile. Raises `PipelineClosed`.
        """
        with self._gate.entered():
            return self._pools.compact()

    def reconfigure(self, changes: Mapping[str, Any]) -> None:
        """Give the running pipeline another compressor, allocator, policy or packer.

        `changes` has the tables of a pipeline file that shall be others from now on:
        `{"compressor": {"use": "zstd", "level": 3}, "policy": {"use": "sieve"}}`. Without `use` it
        is the plugin that is there; other keys that are left out take the plugin's defaults, but
        for `limit` and `block`, which can not change. Several tables are changed together or not at
        all, while loads and stores go on.

        What is stored already stays as it is. It is read with the compressor that made it, and lies
        in the allocator that it was put into, until it is rewritten or, in the pool, leaves for the
        device; `Stats.retired_codec_pages` and `retired_pool_pages` tell how much that still is. A
        new policy takes over the order of the old one, but not which slots were used twice; the
        lock is held for as long as its `insert` takes for every object in the pool. The first
        change of the compressor looks at every slot, some at a time. A new packer reads what the
        old one wrote; so one that keeps no records, as `page`, can neither come nor go.

        Raises `ConfigError` with all that is wrong, `PluginError`, `MemoryError`, `PipelineClosed`,
        or what a part raised; the pipeline is then as it was.
        """
        with self._sync_lock:
            self.config = self._live.change(self.config, changes)

    # -- the devices ------------------------------------------------------------------------

    def add_device(self, device: Mapping[str, Any]) -> int:
        """Give the running pipeline one more device; its number.

        `device` is what the table [device] of a pipeline file has: `{"use": "nvme", "path":
        "/dev/nvme0n1p3", "size": "16GiB"}`. Blocks are written to the device of which the smallest
        share is in use, so first of all to the new one. What lies elsewhere stays there: to replace
        a device, add another and drain the old one.

        Raises `ConfigError` with all that is wrong, `DeviceUnusable` if it can not be opened,
        `PipelineClosed`; nothing has changed then.
        """
        return self._devices.add(device)

    def drain_device(self, number: int) -> int:
        """Move all that is on a device to the others, and close it; how many bytes were moved.

        Loads and stores go on meanwhile, but nothing new is written to it. Objects are moved as
        they lie there, still compressed, also those that have a copy in RAM; what is left of blocks
        that are mostly dead is packed together. Slots are not looked at, unless a packer keeps no
        records, as `page`, or records are damaged: then all are.

        If it raises, the device is used as before, with what is still on it: `ConfigError`, there
        is no such device, it is being drained, or no other is open; `DeviceFull`, the others have
        no room for all of it; `DeviceError`, something on it can not be read, slots and blocks in
        the message, or nothing can be written elsewhere; `PipelineClosed`. Only when the empty
        device could not be closed properly is it out of use all the same.
        """
        return self._devices.drain(number)

    def devices(self) -> list[DeviceStatus]:
        """The devices there are now, by their numbers. Raises `PipelineClosed`."""
        return self._devices.list()

    # -- the whole --------------------------------------------------------------------------

    def stats(self) -> Stats:
        """The counters, all of one moment."""
        with self._gate.lock:
            return self._counted.stats()

    def pool_resident_bytes(self) -> int:
        """What the pool's mappings have in RAM, as the operating system counts it."""
        with self._gate.lock:
            own = [one for one in self._entries.pool_types if one is not None]
            return (
                self._pools.resident_bytes()
                + self._entries.cache_type.resident_bytes
                + sum(one.resident_bytes for one in own)
            )

    def close(self) -> None:
        """Release all devices and all memory. Safe to call twice.

        With a persistent device it begins with a `sync`; if that raises, so does this, and all is
        released nevertheless. Calls that wait for room end with `PipelineClosed`, as do later
        stores and loads.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(self._close)
            if self._checkpoint is not None and not self._gate.closed:
                with contextlib.suppress(PipelineClosed):  # another thread was faster
                    self.sync()

    def _close(self) -> None:
        with self._gate.lock:
            if self._gate.closed:
                return
            self._gate.closed = True
            self._backpressure.close()
            self._cache.close()
            self._pools.close()
            for one in filter(None, self._entries.types):
                one.close()
            try:
                self._store.close()
            finally:
                with released(self._gate.lock):
                    self._loads.close()

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

    def _span(self, slot: int, size: int) -> tuple[int, int]:
        count, rest = divmod(size, self._page_size)
        if rest or not count:
            raise PageLength(f"{size} bytes are no whole pages of {self._page_size}")
        slot = self._slot(slot)
        self._slot(slot + count - 1)
        return slot, count


def open(source: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Pipeline:  # noqa: A001
    """Open the pipeline that a file, or a mapping of the same shape, describes.

    With nothing, a default: zstd, zsmalloc with 64 MiB, lru, bounce, an unnamed temporary file.
    Raises `ConfigError` with all that is wrong, `PluginError`, `DeviceError`.
    """
    return Pipeline(load_config(source))
