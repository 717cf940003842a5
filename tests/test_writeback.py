"""Order and cleaning: what leaves, when, and what that costs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from small import PACKERS, shape
from stress import compressed

from coldpress import OpenBlock, Pipeline, PoolFull
from coldpress.config import load_config
from coldpress.testing.pages import PAGE, page
from coldpress.testing.threads import stamped_page

IN_ORDER = ["page", "zsmalloc", "bounce", "aligned"]


class EventLog:
    """What a policy is told and what it names, written down from outside."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.events: list[tuple[str, int]] = []
        policy = pipeline.config.policy
        for name in ("insert", "touch", "remove", "restore"):
            setattr(policy, name, self._logged(name, getattr(policy, name)))
        evict = policy.evict

        def logged() -> int:
            slot = evict()
            self.events.append(("evict", slot))
            return slot

        policy.evict = logged  # type: ignore[method-assign]

    def _logged(self, name: str, call: Callable[..., None]) -> Callable[..., None]:
        def logged(slot: int, *args: Any, **more: Any) -> None:
            self.events.append((name, slot))
            call(slot, *args, **more)

        return logged

    def inversions(self) -> tuple[int, int]:
        """Victims that were not the least recently used slot, and all victims."""
        used: dict[int, None] = {}  # in order of the last use
        inversions = victims = 0
        for number, (what, slot) in enumerate(self.events):
            if what == "touch" and slot not in used:
                continue  # it is on its way to the device already
            if what in ("insert", "touch"):
                used.pop(slot, None)
                used[slot] = None
            elif what == "remove":
                used.pop(slot, None)
            elif what == "evict" and slot >= 0:
                undone = self.events[number + 1 : number + 2] == [("restore", slot)]
                if not undone:
                    victims += 1
                    inversions += next(iter(used)) != slot
                    del used[slot]
        return inversions, victims


def drive(pipeline: Pipeline, count: int = 4000) -> None:
    """Stores and loads, some slots much more often than others; every load is checked."""
    rng = random.Random(3)
    held: dict[int, int] = {}
    for version in range(count):
        slot = int(rng.random() ** 2 * 1500)
        if slot in held and rng.random() < 0.5:
            assert pipeline.load(slot) == page("mixed", slot, held[slot])
        else:
            pipeline.store(slot, page("mixed", slot, version))
            held[slot] = version


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
@pytest.mark.parametrize("packer", IN_ORDER)
def test_what_leaves_is_the_least_recently_used(packer: str, synchronous: bool) -> None:
    config = load_config(shape(PACKERS[packer]))
    with Pipeline(config, synchronous=synchronous) as pipeline:
        log = EventLog(pipeline)
        drive(pipeline)
        stats = pipeline.stats()
    inversions, victims = log.inversions()
    assert inversions == stats.inversions == 0
    assert victims > 500
    assert stats.young_share == 0
    assert (stats.writeback_decompressions > 0) == (packer == "page")


def test_page_decompresses_just_what_it_writes() -> None:
    with Pipeline(load_config(shape(PACKERS["page"])), synchronous=True) as pipeline:
        drive(pipeline)
        stats = pipeline.stats()
    assert stats.writeback_decompressions == stats.writeback_blocks == stats.written_back_pages
    assert stats.writeback_bytes == stats.writeback_blocks * PAGE


def test_whole_zspages_take_young_objects_along() -> None:
    with Pipeline(load_config(shape(PACKERS["zspage"])), synchronous=True) as pipeline:
        drive(pipeline)
        stats = pipeline.stats()
    assert stats.inversions > 100
    assert 0.1 < stats.young_share < 0.6
    assert stats.writeback_decompressions == 0


def test_a_newest_first_control_is_seen() -> None:
    with Pipeline(load_config(shape(PACKERS["bounce"])), synchronous=True) as pipeline:
        policy = pipeline.config.policy
        listed = policy._list  # type: ignore[attr-defined]

        def newest() -> int:
            slots = list(listed.from_tail())
            if slots:
                listed.remove(slots[-1])
            return slots[-1] if slots else -1

        policy.evict = newest  # type: ignore[method-assign]
        log = EventLog(pipeline)
        drive(pipeline, 1500)
        stats = pipeline.stats()
    inversions, victims = log.inversions()
    assert stats.inversions > 100
    assert inversions > 0.9 * victims
    assert stats.young_share > 0.9


@pytest.mark.parametrize("packer", PACKERS)
def test_every_packer_brings_everything_back(packer: str) -> None:
    with Pipeline(load_config(shape(PACKERS[packer]))) as pipeline:
        drive(pipeline)
        stats = pipeline.stats()
        assert stats.written_back_pages > 500
        assert stats.pool_bytes_peak <= stats.pool_limit


def test_writeback_starts_at_high_and_stops_at_accept() -> None:
    tables = {"writeback": {"high": "80%", "accept": "60%"}, "allocator": {"limit": "4MiB"}}
    with Pipeline(load_config(shape(PACKERS["bounce"], **tables)), synchronous=True) as pipeline:
        limit = 4 << 20
        last: list[int] = []  # the pool's bytes when the last block was begun
        next_block = pipeline._writeback.next_block

        def noted(target: int) -> OpenBlock | None:
            last[:] = [pipeline._budget.pressure]
            return next_block(target)

        pipeline._writeback.next_block = noted  # type: ignore[method-assign, assignment]
        blocks, levels = 0, []
        for slot in range(4000):
            before = pipeline._budget.pressure
            pipeline.store(slot, page("mixed", slot, 0))
            if pipeline.stats().writeback_blocks > blocks:
                blocks = pipeline.stats().writeback_blocks
                levels.append((before, *last, pipeline._budget.pressure))
        assert len(levels) > 3
        for before, at_last, after in levels:
            assert 0.80 * limit < before < 0.82 * limit
            # How far below the last one goes depends on what compaction finds.
            assert 0.60 * limit < at_last < 0.62 * limit
            assert after < 0.61 * limit


def test_overwriting_ten_times_the_device_cleans_cheaply() -> None:
    live, block = 2400, 32 << 10
    packed = sum(len(compressed(slot)) + 48 for slot in range(100)) * live // 100
    tables = {
        "allocator": {"limit": "512KiB"},
        "device": {"size": int(packed * 1.3)},
        "writeback": {"promote": "never"},
    }
    config = load_config(shape({"use": "bounce", "block": f"{block}B"}, **tables))
    with Pipeline(config, synchronous=True) as pipeline:
        rng = random.Random(1)
        for slot in range(live):
            pipeline.store(slot, stamped_page(slot, 0))
        pipeline.sync()
        held = dict.fromkeys(range(live), 0)
        size = config.device.size
        begin = pipeline.stats()
        fill = size / (begin.live_bytes + 48 * live)
        version = 0
        while pipeline.stats().payload_bytes - pipeline.stats().cleaned_bytes < 10 * size:
            for _ in range(200):
                version += 1
                slot = rng.randrange(live)
                pipeline.store(slot, stamped_page(slot, version))
                held[slot] = version
        stats = pipeline.stats()
        written = stats.payload_bytes - begin.payload_bytes
        amplification = written / (written - stats.cleaned_bytes)
        assert 1.2 < fill < 1.4
        assert stats.cleaned_blocks > 100
        assert amplification <= 3.0
        for slot, last in held.items():
            assert pipeline.load(slot) == stamped_page(slot, last)


def test_a_full_device_without_dead_blocks_says_so() -> None:
    config = load_config(shape(PACKERS["bounce"], device={"size": "1MiB"}))
    with Pipeline(config) as pipeline:
        stored = 0
        with pytest.raises(PoolFull, match="the device is full"):
            for slot in range(4096):
                pipeline.store(slot, page("noise", slot, 0))
                stored += 1
        assert stored > 300
        assert all(pipeline.load(slot) == page("noise", slot, 0) for slot in range(stored))
