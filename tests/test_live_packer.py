"""Another packer for a running pipeline: it reads what is written, and begins its own blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from live import Stored, everything, opened, with_plugins
from writes import held_writes

import coldpress
from coldpress import ConfigError, Pipeline
from coldpress_plugins.packers.bounce import Bounce

PACKERS = ("bounce", "zsmalloc", "zspage", "aligned")
either = pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])


def blocks(pipeline: Pipeline) -> list[str]:
    """The packers' names of the blocks that are begun from now on."""
    found: list[str] = []
    packer = pipeline.config.packer
    begin = packer.begin

    def noted(buffer: memoryview, group: int) -> coldpress.OpenBlock:
        found.append(packer.name)
        return begin(buffer, group)

    packer.begin = noted  # type: ignore[method-assign]
    return found


@either
@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(PACKERS, 2)))
def test_old_blocks_are_read_and_new_ones_written(synchronous: bool, old: str, new: str) -> None:
    tables = {
        "packer": {"use": old, "block": "32KiB"},
        "device": {"size": "4MiB"},
        "writeback": {"promote": "first", "readahead": True},
    }
    with opened(synchronous, **tables) as pipeline:
        stored, before = Stored(pipeline), blocks(pipeline)
        stored.store(range(300))
        stored.store_folios(range(320, 480))
        pipeline.reconfigure({"packer": {"use": new}})
        assert pipeline.config.names["packer"] == new
        assert pipeline.config.packer.block == 32 << 10
        begun, after = len(before), blocks(pipeline)
        stored.check()
        for turn in range(3):
            stored.store(range(turn * 100, turn * 100 + 100))
            stored.store_folios(range(320, 480))
            pipeline.sync()
            stored.check()
        assert begun
        assert len(before) == begun
        assert set(after) == {new}
        assert pipeline.stats().refaults > 100


@pytest.mark.parametrize("old", PACKERS)
def test_what_was_in_a_block_that_was_begun_is_selected_again_in_its_order(old: str) -> None:
    with opened(True, packer={"use": old}, writeback={"promote": "never"}) as pipeline:
        entries, stored = pipeline._entries, Stored(pipeline)
        for slot in range(400):
            stored.store(range(slot, slot + 1), "mixed")
            if slot > 120 and len(entries.staged) > (old == "zspage") - 1:
                break
        staged = sorted(entries.staged, key=lambda one: one.sequence)
        before = list(entries.policy.order())
        pipeline.reconfigure({"packer": {"use": "aligned"}})
        assert entries.staged == []
        assert list(entries.policy.order()) == [*(one.slot for one in staged), *before]
        assert pipeline._budget.staged == 0
        stored.store(range(400, 512))
        stored.check()


def test_blocks_of_all_groups_are_taken_out_coldest_first() -> None:
    tables = {"packer": {"use": "zsmalloc"}, "allocator": {"limit": "1MiB"}}
    with opened(True, **tables) as pipeline:
        entries, stored = pipeline._entries, Stored(pipeline)
        stored.store(range(512), "mixed")
        staged = sorted(entries.staged, key=lambda one: one.sequence)
        assert len(pipeline._writeback.staging._open) > 2
        assert [one.slot for one in entries.staged] != []
        before = list(entries.policy.order())
        pipeline.reconfigure({"packer": {"use": "bounce"}})
        assert list(entries.policy.order()) == [*(one.slot for one in staged), *before]
        stored.check()


def dropping_what_was_begun(spoil: Callable[[Pipeline], None]) -> Stored:
    with opened(True, packer={"use": "zsmalloc"}, allocator={"limit": "1MiB"}) as pipeline:
        spoil(pipeline)
        stored = Stored(pipeline)
        stored.store(range(512), "mixed")
        pipeline.reconfigure({"packer": {"use": "bounce"}})
        entries = pipeline._entries
        known = set(entries.policy.order())
        in_pool = {slot for slot in range(512) if entries.pool_types[entries.table.get(slot) & 15]}
        assert known == in_pool - {one.slot for one in entries.staged}
        assert {one.slot for one in entries.staged} == set()
        return stored


def test_a_block_that_is_dropped_would_be_seen() -> None:
    dropping_what_was_begun(lambda pipeline: None)

    def forgets(pipeline: Pipeline) -> None:
        pipeline._writeback.empty_staging = (  # type: ignore[method-assign]
            pipeline._writeback.staging._open.clear
        )

    with pytest.raises(AssertionError):
        dropping_what_was_begun(forgets)


def test_a_block_in_flight_ends_as_it_began() -> None:
    with opened(False, packer={"use": "zspage", "block": "32KiB"}) as pipeline:
        stored = Stored(pipeline)
        begun, go = held_writes(pipeline)
        slot = 0
        while not begun.wait(0.001):
            stored.store(range(slot, slot + 1), "mixed")
            slot += 1
        pipeline.reconfigure({"packer": {"use": "bounce"}})
        assert pipeline._entries.staged
        go.set()
        stored.store(range(slot, 512))
        stored.check()


@either
def test_buffers_follow_what_the_packer_wants(synchronous: bool) -> None:
    shape: dict[str, Any] = {"slots": 2048, "allocator": {"limit": "2MiB"}}
    with (
        opened(synchronous, **shape) as pipeline,
        opened(synchronous, packer={"use": "zsmalloc"}, **shape) as other,
    ):
        budgets = [pipeline._budget, other._budget]
        few, many = (budget.headroom for budget in budgets)
        assert few < many
        other.reconfigure({"packer": {"use": "bounce"}})
        assert other._budget.headroom == few
        other.reconfigure({"packer": {"use": "zsmalloc"}})
        marks = pipeline._writeback.high, pipeline._writeback.accept
        stored = Stored(pipeline)
        stored.store(range(512), "noise")
        assert pipeline.stats().written_back_pages > 0
        pipeline.reconfigure({"packer": {"use": "zsmalloc"}})
        assert pipeline._writeback.high == other._writeback.high
        assert pipeline._writeback.accept == other._writeback.accept
        assert pipeline._budget.used <= pipeline._budget.limit
        stored.store(range(2048), "mixed")
        assert pipeline._budget.headroom == many
        stats = pipeline.stats()
        assert stats.pool_bytes_peak <= stats.pool_limit
        pipeline.reconfigure({"packer": {"use": "bounce"}})
        assert (pipeline._writeback.high, pipeline._writeback.accept) == marks
        pipeline.sync()
        assert pipeline._budget.headroom == few
        assert pipeline._budget.staged <= few
        stored.store(range(512), "noise")
        stored.check()
        stats = pipeline.stats()
        assert stats.pool_bytes_peak <= stats.pool_limit


def peak_after_a_change(spoil: Callable[[Pipeline], None]) -> float:
    """How much of its limit a pool had in use that was full when another packer came."""
    with opened(True, slots=2048, allocator={"limit": "2MiB"}) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(1000), "mixed")
        spoil(pipeline)
        pipeline.reconfigure({"packer": {"use": "zsmalloc"}})
        stored.store(range(1000, 2048), "mixed")
        stored.check()
        return pipeline._budget.peak / pipeline._budget.limit


def test_buffers_do_not_take_what_the_pool_still_has_in_use() -> None:
    assert peak_after_a_change(lambda pipeline: None) <= 1

    def at_once(pipeline: Pipeline) -> None:
        budget = pipeline._budget

        def whatever(size: int) -> bool:
            budget.headroom += size
            return True

        budget.set_aside = whatever  # type: ignore[method-assign]

    assert peak_after_a_change(at_once) > 1


@pytest.mark.parametrize(("old", "new"), [("bounce", "page"), ("page", "bounce"), ("page", "page")])
def test_one_without_records_can_neither_come_nor_go(old: str, new: str) -> None:
    with opened(packer={"use": old}) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(512))
        before = everything(pipeline)
        with pytest.raises(ConfigError) as caught:
            pipeline.reconfigure({"packer": {"use": new}})
        assert str(caught.value) == (
            "packer.use: 'use' in [packer]: 'page' can not come into a running pipeline, nor go: "
            "it writes pages decompressed and without records, so with it there are no folios and "
            "no cleaner"
        )
        assert everything(pipeline) == before


@attrs.define(slots=False, eq=False, kw_only=True)
class Small(Bounce):
    """Takes folios of a quarter of a block."""

    name = "small"

    def largest_folio(self, page_size: int) -> int:
        return self.block // 4


def test_one_that_can_not_write_the_folios_is_refused_and_one_that_writes_larger_does() -> None:
    registry = with_plugins(packer=[Small])
    with (
        opened(True, registry) as pipeline,
        pytest.raises(ConfigError, match=r"'small' can not write folios of 8KiB"),
    ):
        pipeline.reconfigure({"packer": {"use": "small"}})
    with opened(True, registry, packer={"use": "small"}) as pipeline:
        stored = Stored(pipeline)
        stored.store_folios(range(64))
        alone = len(pipeline._entries.policy)
        pipeline.reconfigure({"packer": {"use": "bounce"}})
        stored.store_folios(range(64))
        assert len(pipeline._entries.policy) < alone
        stored.check()


def test_another_block_size_is_refused() -> None:
    with (
        opened() as pipeline,
        pytest.raises(ConfigError, match=r"'block' in .packer.: can not be .* it is 16KiB"),
    ):
        pipeline.reconfigure({"packer": {"use": "zsmalloc", "block": "64KiB"}})
