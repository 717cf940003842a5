"""What a pipeline consists of, put together."""

from __future__ import annotations

import threading
from functools import partial

from coldpress.backpressure import WRITERS, Background, Inline
from coldpress.blockstore import BlockStore
from coldpress.budget import PoolBudget
from coldpress.changes import Running
from coldpress.checkpoint import Checkpoint
from coldpress.claims import Claims
from coldpress.cleaner import Cleaner
from coldpress.codecs import Codecs
from coldpress.config import PipelineConfig
from coldpress.counted import Counted
from coldpress.devices import Devices
from coldpress.drain import Drain
from coldpress.durable import DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.entries import Entries
from coldpress.errors import PoolFull
from coldpress.layout import seal_bytes
from coldpress.live import Live
from coldpress.loading import Loads
from coldpress.locks import Gate
from coldpress.moving import Mover
from coldpress.pools import Pools, first_pool
from coldpress.promotion import Promotion
from coldpress.reopen import reopen
from coldpress.roles.entry_type import EntryContext
from coldpress.scan import Progress
from coldpress.storing import Stores
from coldpress.swapcache import CacheOrder, SwapCache
from coldpress.units import format_size
from coldpress.writeback import Around, Writeback


class Composition:
    """The parts of a pipeline, each of which knows just those that it needs."""

    _gate: Gate
    _store: BlockStore
    _budget: PoolBudget
    _checkpoint: Checkpoint | None

    def _compose(
        self,
        config: PipelineConfig,
        synchronous: bool,
        around: Around,
        progress: Progress | None,
    ) -> None:
        gate, store, budget = self._gate, self._store, self._budget
        durable = store if isinstance(store, DurableStore) else None
        ids = durable.ids if durable else None
        known = ids.compressors() if ids else {}
        codecs = Codecs(config.compressor, known, ids.unusable if ids else ())
        context = EntryContext(
            page_size=config.page_size,
            allocator=config.allocator,
            budget=budget,
            codecs=codecs,
            store=store,
            cache_pages=config.cache.pages,
        )
        for one in config.entry_types:
            one.open(context)
        cache_order = CacheOrder(config.slots)
        seal = seal_bytes(config.device.encrypt)
        entries = (
            reopen(durable, config, codecs, cache_order, progress)
            if durable
            else Entries(config.slots, config.entry_types, config.policy, cache_order, seal)
        )
        # The claimers come first, in the order in which they are asked.
        claimers = entries.present[: len(config.claimers)]
        claims = Claims(entries.types, claimers, config.page_size)
        self._entries = entries
        self._codecs = codecs
        self._pools = Pools(entries, first_pool(config.allocator, entries, claimers))
        mover = Mover(entries, store, config.page_size, gate.lock)
        self._cleaner = Cleaner(store, mover, gate.lock)
        self._devices = Devices(
            gate,
            store,
            config,
            entries.device_type.largest_device,
            partial(Drain, gate, entries, store, mover, self._cleaner),
        )
        self._writeback = Writeback(
            entries,
            store,
            self._pools,
            budget,
            codecs,
            self._cleaner,
            gate.lock,
            config.page_size,
            config.writeback.high,
            config.writeback.accept,
            config.cache.pages,
            around,
        )
        if durable and isinstance(entries, DurableEntries):
            self._checkpoint = Checkpoint(
                self._writeback, entries, durable, self._cleaner, config.page_size
            )
            self._writeback.relieve = self._checkpoint.relieve
        self._live = Live(
            Running(
                gate,
                entries,
                claims,
                codecs,
                store,
                self._pools,
                self._writeback,
                context,
                0 if synchronous else WRITERS,
            )
        )
        self._promotion = Promotion(
            entries, config.writeback, claims, keeps_compressed=config.packer.keeps_compressed
        )
        self._backpressure: Inline | Background = (
            Inline(self._writeback) if synchronous else Background(self._writeback, gate.lock)
        )
        self._cache = SwapCache(
            gate, entries, cache_order, claims, self._backpressure, config.cache.pages
        )
        self._stores = Stores(
            gate, claims, entries, self._backpressure, self._cache, self._pool_full
        )
        self._loads = Loads(
            gate,
            entries,
            store,
            self._promotion,
            self._backpressure,
            config.page_size,
            several=not synchronous,
        )
        self._counted = Counted(
            page_size=config.page_size,
            entries=entries,
            store=store,
            budget=budget,
            codecs=codecs,
            pools=self._pools,
            writeback=self._writeback,
            cleaner=self._cleaner,
            live=self._live,
            promotion=self._promotion,
            cache=self._cache,
            loads=self._loads,
        )

    def _pool_full(self) -> PoolFull:
        limit = format_size(self._budget.limit)
        error = self._store.last_error
        why = f"nothing can be written out: {error}" if error else "nothing is left to write out"
        return PoolFull(f"the pool is at its limit of {limit} and {why}")


def open_store(config: PipelineConfig, lock: threading.Lock) -> BlockStore:
    """Open the device, to keep or to forget what it gets. Raises `DeviceError`, `ConfigError`."""
    parts = config.device, config.packer, config.page_size, lock
    if config.device.persistent:
        return DurableStore(*parts, config.slots, config.registry)
    return BlockStore(*parts)
