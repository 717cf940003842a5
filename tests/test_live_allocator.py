"""Another allocator for a running pipeline: the old one serves its objects until the last left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from live import Held, Stored, opened, with_plugins

from coldpress import ConfigError, Pipeline
from coldpress.testing.pages import PAGE
from coldpress_plugins.allocators.zsmalloc import Zsmalloc

either = pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])


def retired(pipeline: Pipeline) -> int:
    return pipeline.stats().retired_pool_pages


def zswap(pipeline: Pipeline) -> Any:
    """The instance that gets new objects."""
    return next(one for one in pipeline.config.entry_types if one.name == "zswap")


def closings(pipeline: Pipeline) -> list[str]:
    """The names of what is closed from now on, of what is in use now."""
    found: list[str] = []
    for one in (pipeline.config.allocator, zswap(pipeline)):
        close = one.close

        def closed(name: str = one.name, close: Callable[[], None] = close) -> None:
            found.append(name)
            close()

        one.close = closed  # type: ignore[method-assign]
    return found


@either
@pytest.mark.parametrize("cache", [0, 8])
@pytest.mark.parametrize("packer", ["bounce", "zspage"])
def test_the_old_one_is_closed_when_its_last_object_has_left(
    synchronous: bool, cache: int, packer: str
) -> None:
    with opened(synchronous, cache={"pages": cache}, packer={"use": packer}) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(200))
        stored.store_folios(range(200, 296))
        closed = closings(pipeline)
        old = pipeline.config.allocator
        before = old.objects
        pipeline.reconfigure({"allocator": {"use": "zbud"}})
        assert pipeline.config.names["allocator"] == "zbud"
        assert pipeline.config.allocator.limit == 256 << 10
        assert closed == []
        assert old.objects == before or not synchronous  # the writers go on meanwhile
        counts = [retired(pipeline)]
        assert counts[0] > 10
        for part in range(6):
            stored.store(range(300 + part * 30, 330 + part * 30))
            stored.check()
            counts.append(retired(pipeline))
        stored.invalidate(range(296))
        assert retired(pipeline) == 0
        assert counts == sorted(counts, reverse=True)
        assert old.objects == 0
        assert sorted(closed) == ["zsmalloc", "zswap"]
        assert old.resident_bytes() == 0
        stats = pipeline.stats()
        assert stats.pool_bytes_peak <= stats.pool_limit
        assert stats.reconfigurations == 1
        stored.check()


def test_writeback_alone_makes_the_old_one_empty() -> None:
    with opened(True, writeback={"promote": "never"}) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(100), "text")
        closed = closings(pipeline)
        pipeline.reconfigure({"allocator": {"use": "zbud"}})
        assert pipeline.config.allocator.objects == 0
        stored.store(range(100, 500), "text")
        assert closed == ["zswap", "zsmalloc"]  # without a look at the counters
        assert retired(pipeline) == 0
        stored.check()


def test_writeback_begins_where_it_does_with_the_new_one_from_the_start() -> None:
    shape = {"packer": {"block": "32KiB"}}
    with opened(**shape) as other, opened(allocator={"chain": 1}, **shape) as pipeline:
        marks = {one: (one._writeback.high, one._writeback.accept) for one in (pipeline, other)}
        assert marks[pipeline] != marks[other]
        pipeline.reconfigure({"allocator": {"use": "zsmalloc", "chain": 4}})
        assert (pipeline._writeback.high, pipeline._writeback.accept) == marks[other]


def test_both_share_the_limit_and_are_compacted_and_counted() -> None:
    with opened(True) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(512), "text")
        pipeline.reconfigure({"allocator": {"use": "zsmalloc", "chain": 2}})
        stored.store(range(20), "text")
        stats = pipeline.stats()
        assert stats.retired_pool_pages > 0
        pools = [pipeline._pools.current, *pipeline._pools._retired]
        assert len(pools) == 2
        assert all(pool.allocator.objects for pool in pools)
        assert stats.pool_bytes == sum(pool.allocator.pool_bytes for pool in pools)
        assert pipeline.pool_resident_bytes() == stats.pool_bytes - pipeline._budget.staged
        assert stats.metadata_bytes > sum(pool.allocator.metadata_bytes for pool in pools)
        slots = [slot for slot in range(512) if pipeline._entries.pool_types[word(pipeline, slot)]]
        for slot in slots[::2]:
            pipeline.invalidate(slot)
            stored.pages.pop(slot)
        before = [pool.allocator.pool_bytes for pool in pools]
        assert pipeline.compact() > 0
        after = [pool.allocator.pool_bytes for pool in pools]
        assert after[1] < before[1]
        stored.check()


def word(pipeline: Pipeline, slot: int) -> int:
    return pipeline._entries.table.get(slot) & 15


def test_what_is_read_back_is_promoted_into_the_new_one() -> None:
    tables = {"writeback": {"promote": "first", "readahead": True}}
    with opened(True, **tables) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(512), "text")
        pipeline.reconfigure({"allocator": {"use": "zbud"}})
        assert pipeline.config.allocator.objects == 0
        for slot in range(0, 64, 2):
            pipeline.load(slot)
        assert pipeline.stats().readahead_pages > 0
        assert pipeline.config.allocator.objects >= 20
        stored.check()


def test_the_last_tag_is_refused_and_free_again_after_a_while() -> None:
    with opened(True, allocator={"limit": "1MiB"}) as pipeline:
        stored = Stored(pipeline)
        for number in range(9):
            stored.store(range(number * 10, number * 10 + 10), "text")
            pipeline.reconfigure({"allocator": {"use": ["zbud", "zsmalloc"][number % 2]}})
        stored.store(range(90, 100), "text")
        with pytest.raises(ConfigError, match=r"^allocator: no tag .* 9 allocators .* 90 pages"):
            pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
        assert pipeline.config.names["allocator"] == "zbud"
        stored.check()
        stored.invalidate(range(40, 50))
        pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
        stored.store(range(100, 110), "text")
        assert retired(pipeline) == 90
        stored.check()


def test_closing_gives_the_memory_of_all_of_them_back() -> None:
    pipeline = opened(True, allocator={"limit": "1MiB"})
    stored = Stored(pipeline)
    allocators = [pipeline.config.allocator]
    for number in range(3):
        stored.store(range(number * 30, number * 30 + 30), "text")
        pipeline.reconfigure({"allocator": {"use": "zbud"}})
        allocators.append(pipeline.config.allocator)
    stored.store(range(100, 130))
    assert all(one.resident_bytes() for one in allocators)
    pipeline.close()
    assert not any(one.resident_bytes() for one in allocators)
    assert pipeline.pool_resident_bytes() == 0


def replaced_and_empty(pipeline: Pipeline, stored: Stored) -> None:
    """Another allocator, and nothing left in the old one."""
    closed = closings(pipeline)
    pipeline.reconfigure({"allocator": {"use": "zbud"}})
    stored.invalidate(range(512))
    assert retired(pipeline) == 0
    assert sorted(closed) == ["zsmalloc", "zswap"]


again = pytest.mark.parametrize("again", [False, True], ids=["free tag", "tag used again"])


@pytest.mark.parametrize("pages", [1, 8])
@again
def test_a_page_being_compressed_goes_to_the_new_one(pages: int, again: bool) -> None:
    registry = with_plugins(compressor=[Held])
    with opened(False, registry, compressor={"use": "held"}) as pipeline:
        stored, held = Stored(pipeline), Held.of(pipeline)
        stored.store(range(100, 140), "text")
        with held.holding():
            late = threading.Thread(target=stored.store_folios, args=(range(pages), pages))
            late.start()
            assert held.begun.wait(60)
            replaced_and_empty(pipeline, stored)
            if again:  # the very tag of the claim stands for another instance now
                pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
                assert zswap(pipeline) is pipeline._entries.types[2]
        late.join()
        assert pipeline.config.allocator.objects > 0
        stored.check()


@pytest.mark.parametrize("pages", [1, 8])
def test_a_store_that_waits_for_room_gets_it_in_the_new_one(pages: int) -> None:
    with opened(False) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(100, 140), "text")
        backpressure: Any = pipeline._backpressure
        wait, done = backpressure.wait_for_room, []

        def meanwhile(attempt: Callable[[], int]) -> int:
            pipeline._gate.lock.release()
            replaced_and_empty(pipeline, stored)
            backpressure.wait_for_room = wait
            pipeline._gate.lock.acquire()
            done.append(True)
            payload: int = wait(attempt)
            return payload

        backpressure.wait_for_room = meanwhile
        old = zswap(pipeline)
        old._alloc = lambda data, owner: -1  # no room
        old._objects._alloc = old._alloc
        stored.store_folios(range(pages), pages)
        assert done
        assert pipeline.config.allocator.objects > 0
        stored.check()


def test_a_page_that_leaves_the_cache_goes_to_the_new_one() -> None:
    registry = with_plugins(compressor=[Held])
    tables = {"compressor": {"use": "held"}, "cache": {"pages": 16}}
    with opened(False, registry, **tables) as pipeline:
        stored, held = Stored(pipeline), Held.of(pipeline)
        stored.store(range(12), "text")
        pipeline.sync()
        stored.store_folios(range(16, 24))
        with held.holding():
            late = threading.Thread(target=pipeline.sync)
            late.start()
            assert held.begun.wait(60)
            # `sync` holds up a change: as if one had begun before it.
            pipeline._sync_lock.release()
            closed = closings(pipeline)
            pipeline.reconfigure({"allocator": {"use": "zbud"}})
            pipeline._sync_lock.acquire()
            stored.invalidate(range(12))
            assert retired(pipeline) == 0
            assert sorted(closed) == ["zsmalloc", "zswap"]
        late.join()
        assert pipeline.config.allocator.objects > 0
        assert pipeline.stats().cached_pages == 0
        stored.check()


@again
def test_a_promotion_that_compresses_once_more_is_left_out(again: bool) -> None:
    registry = with_plugins(compressor=[Held])
    tables = {
        "compressor": {"use": "held"},
        "packer": {"use": "page", "block": "4KiB"},
        "writeback": {"promote": "first"},
    }
    with opened(False, registry, **tables) as pipeline:
        stored, held = Stored(pipeline), Held.of(pipeline)
        stored.store(range(512), "text")
        slot = next(s for s in range(512) if word(pipeline, s) == pipeline._entries.device_tag)
        kept = stored.pages[slot]
        found: list[bytes] = []
        with held.holding():
            late = threading.Thread(target=lambda: found.append(pipeline.load(slot)))
            late.start()
            assert held.begun.wait(60)
            closed = closings(pipeline)
            pipeline.reconfigure({"allocator": {"use": "zbud"}})
            stored.invalidate(range(slot))
            stored.invalidate(range(slot + 1, 512))
            assert retired(pipeline) == 0
            assert sorted(closed) == ["zsmalloc", "zswap"]
            if again:
                pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
                assert zswap(pipeline) is pipeline._entries.types[2]
        late.join()
        assert found == [kept]
        assert pipeline.stats().promoted_pages == 0
        stored.check()


def companions_elsewhere(spoil: Callable[[Pipeline], None]) -> int:
    """How many slots pass for companions of an object in another allocator."""
    found = 0
    with opened(True, packer={"use": "zspage"}, allocator={"limit": "1MiB"}) as pipeline:
        entries, stored = pipeline._entries, Stored(pipeline)
        # A folio's owner is its first slot, even when that has a page of its own by now, which may
        # lie in the zspage of the same number elsewhere.
        for slot in range(0, 128, 2):
            pipeline.store(slot, b"%04d" % slot * 300 + bytes(2 * PAGE - 1200))
        pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
        stored.store(range(0, 128, 2), "text")
        spoil(pipeline)
        for slot in range(1, 128, 2):
            victim = entries.victim(slot, 0)
            zspage = entries.zspage(victim)
            assert zspage is not None
            assert entries.companion(slot - 1, zspage.number, victim) in (slot, slot - 1)
            for owner in zspage.owners:
                companion = entries.companion(owner, zspage.number, victim)
                assert companion >= 0
                found += word(pipeline, companion) != victim.word & 15
    return found


def test_the_companions_of_an_object_are_in_its_own_allocator() -> None:
    assert companions_elsewhere(lambda pipeline: None) == 0

    def no_difference(pipeline: Pipeline) -> None:
        pipeline._entries._since = [0] * 16

    assert companions_elsewhere(no_difference) > 0


def test_a_folio_is_a_chain_of_the_allocator_it_was_put_into() -> None:
    # The pieces of a chain are as long as an allocator's largest object.
    class Half(Zsmalloc):
        """Objects of half a page at most."""

        name = "half"
        max_size = 2048  # type: ignore[assignment]

    registry = with_plugins(allocator=[Half])
    with opened(True, registry, allocator={"limit": "2MiB"}) as pipeline:
        stored = Stored(pipeline)
        for turn, use in enumerate(("half", "zsmalloc", "half", "zbud")):
            stored.store_folios(range(turn * 64, turn * 64 + 64))
            stored.store(range(256 + turn * 20, 276 + turn * 20), "mixed")
            pipeline.reconfigure({"allocator": {"use": use}})
        stored.check()
        assert retired(pipeline) > 200
        for turn in range(4):
            stored.store_folios(range(turn * 64, turn * 64 + 64))
            stored.store(range(256 + turn * 20, 276 + turn * 20), "mixed")
        assert retired(pipeline) == 0
        stored.check()
