"""Random histories on a persistent file: what is counted is so, and a reopen changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test
from keys import shared_key

from coldpress.config import load_config
from coldpress.durable import DurableEntries
from coldpress.durablespace import DurableSpace
from coldpress.durablestore import DurableStore
from coldpress.pipeline import Pipeline
from coldpress.testing.machine import SLOTS, PipelineMachine
from coldpress.testing.shapes import described


class Persistent(PipelineMachine):
    """Also checks, from the tables alone, which bytes are kept for whom."""

    def tables(self) -> dict[str, Any]:
        path = str(Path(self.scratch.name) / "cold.img")
        return {"device": {"use": "file", "path": path, "size": "1MiB", "persistent": True}}

    @rule()
    def reopen(self) -> None:
        self.pipeline.close()
        shape = described(
            self.pipeline_shape(), allocator={"use": "zsmalloc", "limit": "96KiB", "chain": 4}
        )
        self.pipeline = Pipeline(load_config(shape), synchronous=True)
        self.load_all()

    def pipeline_shape(self) -> dict[str, Any]:
        small = {"slots": SLOTS, "compressor": {"use": "lz4"}, "packer": {"block": "16KiB"}}
        return described(small, **self.tables())

    def in_step(self) -> None:
        entries, store = self.pipeline._entries, self.pipeline._store
        assert isinstance(entries, DurableEntries)
        assert isinstance(store, DurableStore)
        space = store.space
        assert isinstance(space, DurableSpace)
        words = [entries.table.get(slot) for slot in range(SLOTS)]
        current, kept, tombstones = {}, {}, 0
        for slot, word in enumerate(words):
            last, clean = entries._kept(slot), entries._clean[slot]
            there = word >> 5 if word & 15 == entries.device_tag else clean
            assert not (last and there)
            logged = last and not entries.unlogged.has(slot)
            is_small = word & 15 in (0, entries.shadow_tag) or entries._in_word[word & 15]
            if last and not (logged and is_small):
                kept.update([entries.device_type.locate(last)])
            elif last or there:
                current.update([entries.device_type.locate(last or there)])
                tombstones += bool(last) and word & 15 in (0, entries.shadow_tag)
            elif is_small and word & 15 not in (0, entries.shadow_tag):
                assert entries.unlogged.has(slot)
        kept = {at: length for at, length in kept.items() if at not in current}
        assert sum(kept.values()) == entries.superseded_bytes
        assert tombstones == entries.tombstones
        total = sum(current.values()) + sum(kept.values()) + space.awaiting_bytes
        assert total == space.live_bytes
        staged = [one for block in self.pipeline._writeback.staging._lent for one in block.victims]
        assert all(any(one is other for other in staged) for one in entries._flying.values())


class Encrypted(Persistent):
    def tables(self) -> dict[str, Any]:
        return described(super().tables(), device={"encrypt": shared_key()})


@pytest.mark.parametrize(("machine", "examples"), [(Persistent, 20), (Encrypted, 10)])
def test_random_histories_with_reopens(machine: type[Persistent], examples: int) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=25)
    )
