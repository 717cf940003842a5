"""Pipelines whose parts are changed while they run: how they are made, and all that is in them."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from fake_plugins import plugin

import coldpress
from coldpress import Pipeline
from coldpress.backpressure import Background
from coldpress.config import load_config
from coldpress.registry import Registry, default_registry
from coldpress.testing.pages import any_page, page
from coldpress.testing.shapes import described


def opened(synchronous: bool = True, registry: Registry | None = None, **tables: Any) -> Pipeline:
    """A small pipeline, of which about a quarter fits into the pool."""
    base: dict[str, Any] = {
        "slots": 512,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": "256KiB", "chain": 4},
        "packer": {"use": "bounce", "block": "16KiB"},
        "device": {"use": "memory", "size": "8MiB"},
    }
    config = load_config(described(base, **tables), registry=registry)
    return Pipeline(config, synchronous=synchronous)


def with_plugins(**classes: list[Any]) -> Registry:
    """All installed plugins and these: `with_plugins(policy=[Mine])`."""
    return default_registry().extended(plugin("of_the_tests", **classes), "tests", "0")


@attrs.define(slots=False, eq=False, kw_only=True)
class Held(coldpress.Compressor):
    """Deflate that waits in the middle, when it is told to."""

    name = "held"

    def open(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def compress(self, page: coldpress.Buffer) -> bytes:
        data = zlib.compress(page)
        self.begun.set()
        assert self.go.wait(60)
        return data

    def decompress(self, data: coldpress.Buffer, size: int) -> bytes:
        return zlib.decompress(data, bufsize=size)

    @classmethod
    def of(cls, pipeline: Pipeline) -> Held:
        """The pipeline's compressor."""
        found = pipeline.config.compressor
        assert isinstance(found, cls)
        return found

    @contextmanager
    def holding(self) -> Iterator[Held]:
        """Inside, whoever compresses waits; `begun` is set when somebody does."""
        self.begun.clear()
        self.go.clear()
        try:
            yield self
        finally:
            self.go.set()


class Stored:
    """A pipeline and what it must give back."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.pages: dict[int, bytes] = {}
        self.version = 0

    def store(self, slots: range, kind: str = "") -> None:
        """Store new pages, of this kind or of all kinds, one by one."""
        self.version += 1
        for slot in slots:
            data = page(kind, slot, self.version) if kind else any_page(slot, self.version)
            self.pipeline.store(slot, data)
            self.pages[slot] = data

    def store_folios(self, slots: range, pages: int = 4) -> None:
        """Store folios of so many pages that shrink well."""
        self.version += 1
        for first in range(slots.start, slots.stop, pages):
            data = {slot: page("text", slot, self.version) for slot in range(first, first + pages)}
            self.pipeline.store(first, b"".join(data.values()))
            self.pages |= data

    def invalidate(self, slots: range) -> None:
        for slot in slots:
            self.pipeline.invalidate(slot)
            self.pages.pop(slot, None)

    def check(self) -> None:
        """Every page is as it was stored, and no other is there."""
        for slot in range(self.pipeline.config.slots):
            try:
                found = self.pipeline.load(slot)
            except coldpress.SlotEmpty:
                assert slot not in self.pages
            else:
                assert found == self.pages.get(slot), f"slot {slot}"
        assert self.pipeline.stats().stored_pages == len(self.pages)


def come_to_rest(pipeline: Pipeline) -> None:
    """Bring all to the device, and wait until no thread of the pipeline has anything to do."""
    pipeline.sync()
    backpressure = pipeline._backpressure
    deadline = time.monotonic() + 60
    while isinstance(backpressure, Background):
        with pipeline._gate.lock:
            busy = backpressure._begun or backpressure._busy
            if not busy and pipeline._writeback.staging.idle and not pipeline._budget.staged:
                return
        assert time.monotonic() < deadline
        time.sleep(0.001)


def everything(pipeline: Pipeline) -> dict[str, Any]:
    """All that a failed change must leave as it was."""
    entries, codecs, staging = pipeline._entries, pipeline._codecs, pipeline._writeback.staging
    with pipeline._gate.lock:
        return {
            "config": pipeline.config,
            "words": list(entries.table.words),
            "clean": list(entries._clean),
            "counts": list(entries.counts),
            "types": list(entries.types),
            "pool types": list(entries.pool_types),
            "orders": list(entries.orders),
            "order": list(entries.policy.order()),
            "policy": (entries.policy, pipeline._writeback.ranks._policy),
            "claimers": list(pipeline._stores._claims._claimers),
            "codecs": (codecs.current, dict(codecs._by_id)),
            "origins": entries.origins,
            "pools": (pipeline._pools.current, list(pipeline._pools._retired)),
            "present": list(entries.present),
            "packer": (pipeline._store.packer, pipeline._store.largest_folio),
            "staging": (staging._packer, staging.buffers, len(staging._cold), len(staging._warm)),
            "marks": (pipeline._writeback.high, pipeline._writeback.accept),
            "budget": attrs.asdict(Budget.of(pipeline)),
            "changes": pipeline._live.count,
        }


@attrs.frozen
class Budget:
    """What the pool's budget says."""

    limit: int
    headroom: int
    used: int
    staged: int

    @classmethod
    def of(cls, pipeline: Pipeline) -> Budget:
        budget = pipeline._budget
        return cls(budget.limit, budget.headroom, budget.used, budget.staged)
