"""A state machine that drives a tiny pipeline against a dict. Subclasses may plant a fault."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pages import KINDS, page

import coldpress
from coldpress import Pipeline, PoolFull, SlotEmpty
from coldpress.config import load_config

SLOTS = 64
slots = st.integers(0, SLOTS - 1)
kinds = st.sampled_from(KINDS)


class PipelineMachine(RuleBasedStateMachine):
    """The pool holds about a quarter of the pages, so that every path is taken all the time."""

    device_size: ClassVar[str] = "4MiB"
    may_fill: ClassVar[bool] = False
    policy: ClassVar[str] = "lru"
    allocator: ClassVar[str] = "zsmalloc"
    packer: ClassVar[dict[str, str]] = {"block": "16KiB"}
    synchronous: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, bytes] = {}
        self.version = 0
        self.scratch = tempfile.TemporaryDirectory()

    @initialize(promote=st.sampled_from(["never", "first", "second"]))
    def begin(self, promote: str) -> None:
        shape: dict[str, Any] = {
            "slots": SLOTS,
            "compressor": {"use": "lz4"},
            "allocator": {"use": self.allocator, "limit": "96KiB"},
            "policy": {"use": self.policy},
            "packer": self.packer,
            "device": {
                "use": "file",
                "path": str(Path(self.scratch.name) / "cold.img"),
                "size": self.device_size,
            },
            "writeback": {"promote": promote},
        }
        if self.allocator == "zsmalloc":
            shape["allocator"]["chain"] = 4
        self.pipeline = Pipeline(load_config(shape), synchronous=self.synchronous)
        self.sabotage(self.pipeline)
        # Every run begins under pressure: a short history would stay inside the pool.
        for slot in range(0, SLOTS, 2):
            self.put(slot, "mixed")

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

    def read(self, slot: int) -> bytes | None:
        try:
            return self.pipeline.load(slot)
        except SlotEmpty:
            return None

    @rule(slot=slots)
    def load(self, slot: int) -> None:
        assert self.read(slot) == self.model.get(slot)

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
        except coldpress.DeviceError:
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
        # Out of band: the policy knows just the slots whose words are of objects in the pool and
        # that are not on their way to the device.
        with self.pipeline._lock:
            entries = self.pipeline._entries
            words = {slot: entries.table.get(slot) for slot in range(SLOTS)}
            pooled = {slot for slot, word in words.items() if entries.pool_types[word & 15]}
            known = list(entries.policy.order())
            assert sorted([*known, *entries.staged]) == sorted(pooled)
            assert len(entries.policy) == len(known)

    def teardown(self) -> None:
        try:
            if hasattr(self, "pipeline"):
                self.load_all()
        finally:
            if hasattr(self, "pipeline"):
                self.pipeline.close()
            self.scratch.cleanup()
