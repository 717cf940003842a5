"""A state machine that drives a tiny pipeline against a dict. Subclasses may plant a fault."""

from __future__ import annotations

import tempfile
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from coldpress.config import load_config
from coldpress.errors import DeviceError, PoolFull, SlotEmpty
from coldpress.pipeline import Pipeline
from coldpress.registry import Registry
from coldpress.testing.pages import KINDS, PAGE, page, same
from coldpress.testing.shapes import described

SLOTS = 64
slots = st.integers(0, SLOTS - 1)
kinds = st.sampled_from(KINDS)
orders = st.integers(1, 4)

TINY: dict[str, Any] = {
    "slots": SLOTS,
    "compressor": {"use": "lz4"},
    "allocator": {"use": "zsmalloc", "limit": "96KiB"},
    "packer": {"block": "16KiB"},
    "device": {"use": "memory", "size": "4MiB"},
}
"""The machine's pipeline, as a pipeline file would describe it."""


class PipelineMachine(RuleBasedStateMachine):
    """The pool holds about a quarter of the pages, so that every path is taken all the time."""

    may_fill: ClassVar[bool] = False
    """Whether the device may become full, so that a store may be refused."""

    synchronous: ClassVar[bool] = True
    registry: ClassVar[Registry | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, bytes] = {}
        self.version = 0
        self.scratch = tempfile.TemporaryDirectory()

    @initialize(promote=st.sampled_from(["never", "first", "second"]), readahead=st.booleans())
    def begin(self, promote: str, readahead: bool) -> None:
        writeback = {"promote": promote, "readahead": readahead and promote != "never"}
        shape = described(described(TINY, writeback=writeback), **self.tables())
        if shape["allocator"]["use"] == "zsmalloc":
            shape = described(shape, allocator={"chain": 4, **shape["allocator"]})
        self.pipeline = Pipeline(
            load_config(shape, registry=self.registry), synchronous=self.synchronous
        )
        self.sabotage(self.pipeline)
        # Every run begins under pressure: a short history would stay inside the pool.
        for slot in range(0, SLOTS, 2):
            self.put(slot, "mixed")

    def tables(self) -> dict[str, Any]:
        """What is different from the kit's pipeline, as a pipeline file would say it."""
        return {}

    def sabotage(self, pipeline: Pipeline) -> None:
        """Where a subclass breaks something."""

    def put(self, slot: int, kind: str) -> None:
        self.version += 1
        data = page(kind, slot, self.version)
        try:
            self.pipeline.store(slot, data)
        except PoolFull:
            assert self.may_fill
        else:
            self.model[slot] = data

    @rule(slot=slots, kind=kinds)
    def store(self, slot: int, kind: str) -> None:
        self.put(slot, kind)

    @rule(slot=st.integers(0, SLOTS - 12), kind=kinds, count=st.integers(1, 12))
    def store_many(self, slot: int, kind: str, count: int) -> None:
        self.version += 1
        data = {s: page(kind, s, self.version) for s in range(slot, slot + count)}
        try:
            self.pipeline.store_many(slot, b"".join(data.values()))
        except PoolFull:
            assert self.may_fill
            for s, new in data.items():  # those before the one that failed are stored
                if self.read(s) != new:
                    break
                self.model[s] = new
        else:
            self.model.update(data)

    @rule(slot=slots, order=orders, kind=kinds, evenly=st.booleans())
    def store_folio(self, slot: int, order: int, kind: str, evenly: bool) -> None:
        count = 1 << order
        slot -= slot % count
        self.version += 1
        # One kind of page alone would seldom be a folio that shrinks by more than a half.
        each = [kind if evenly or s % 3 == 0 else "text" for s in range(count)]
        data = {slot + s: page(each[s], slot + s, self.version) for s in range(count)}
        if kind in ("zero", "word") and evenly:
            data = dict.fromkeys(data, data[slot])
        try:
            self.pipeline.store(slot, b"".join(data.values()))
        except PoolFull:
            # Page by page, it may need a zspage for each, and all of them at once.
            budget = self.pipeline._budget
            most = count * self.pipeline.config.allocator.largest_grant(PAGE)
            assert self.may_fill or most > budget.limit - budget.headroom
            for s in data:  # all of them are as they were
                self.load(s)
        else:
            self.model.update(data)

    @rule(slot=st.integers(0, SLOTS - 20), count=st.integers(1, 20))
    def load_many(self, slot: int, count: int) -> None:
        expected = [self.model.get(s) for s in range(slot, slot + count)]
        got = bytearray(count * PAGE)
        if None in expected:
            with pytest.raises(SlotEmpty) as caught:
                self.pipeline.load_many(slot, got)
            count = expected.index(None)
            assert caught.value.slot == slot + count
        else:
            self.pipeline.load_many(slot, got)
        assert same(bytes(got[: count * PAGE]), b"".join(filter(None, expected[:count])))

    def read(self, slot: int) -> bytes | None:
        try:
            return self.pipeline.load(slot)
        except SlotEmpty:
            return None

    @rule(slot=slots)
    def load(self, slot: int) -> None:
        assert same(self.read(slot), self.model.get(slot))

    @rule()
    def load_all(self) -> None:
        for slot in range(SLOTS):
            self.load(slot)

    @rule(slot=slots)
    def invalidate(self, slot: int) -> None:
        self.pipeline.invalidate(slot)
        self.model.pop(slot, None)

    @rule()
    def sync(self) -> None:
        try:
            self.pipeline.sync()
        except DeviceError:
            assert self.may_fill

    @rule()
    def compact(self) -> None:
        before = self.pipeline.stats().pool_bytes
        gone = self.pipeline.compact()
        if self.synchronous:  # else the writers give something back meanwhile
            assert self.pipeline.stats().pool_bytes == before - gone

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "pipeline"):
            return
        stats = self.pipeline.stats()
        assert stats.stored_pages == len(self.model)
        assert stats.pool_bytes_peak <= stats.pool_limit
        assert stats.compressed_bytes <= stats.pool_bytes
        assert stats.live_bytes <= stats.device_bytes
        with self.pipeline._gate.lock:
            self.in_step()

    def in_step(self) -> None:
        """Out of band, from the words alone: what the tables say of each other is true."""
        pipeline, entries = self.pipeline, self.pipeline._entries
        words = {slot: word for slot in range(SLOTS) if (word := entries.table.get(slot))}
        # Each object's slots; two folios side by side never have one word.
        members: dict[tuple[int, int], list[int]] = {}
        for slot, word in words.items():
            one = entries.types[word & 15]
            assert one is not None
            span = entries._span(word)
            members.setdefault((slot // span * span, word), []).append(slot)
        # An order knows just the first slot of each of its objects that is not on its way.
        staged = {(one.slot, one.word) for one in entries.staged}
        for order, known in (
            (entries.policy, list(entries.policy.order())),
            (pipeline._cache._order, list(pipeline._cache._order.from_coldest())),
        ):
            listed = [
                slots[0]
                for key, slots in members.items()
                if entries.orders[key[1] & 15] is order and key not in staged
            ]
            assert sorted(known) == sorted(listed)
        assert staged <= set(members)
        assert len(entries.policy) == len(list(entries.policy.order()))
        for tag, count in enumerate(entries.counts):
            assert count == sum(word & 15 == tag for word in words.values())
        clean = {slot: place for slot in range(SLOTS) if (place := entries._clean[slot])}
        assert all(entries.pool_types[words[slot] & 15] for slot in clean)
        assert entries.clean == len(set(clean.values()))
        assert entries.cache_type.pages == sum(
            entries._span(word) for _, word in members if word & 15 == entries.cache_tag
        )
        if self.synchronous:  # else a block that is being written has not been counted yet
            places = {word >> 5 for word in words.values() if word & 15 == entries.device_tag}
            lengths = dict(map(entries.device_type.locate, {*places, *clean.values()}))
            assert sum(lengths.values()) == pipeline._store.space.live_bytes

    def teardown(self) -> None:
        try:
            if hasattr(self, "pipeline"):
                self.load_all()
        finally:
            if hasattr(self, "pipeline"):
                self.pipeline.close()
            self.scratch.cleanup()
