"""Writes that fail: blocks that are bad, and devices that go away and come back."""

from __future__ import annotations

import logging
import time

import pytest
from device_sets import BLOCK, MEMORY, SMALL, Elsewhere, check_live, fill, member, opened, verify
from writes import Writes, always, never

from coldpress import Pipeline, PipelineClosed, PoolFull
from coldpress.testing.pages import page


def churn(pipeline: Pipeline, model: dict[int, bytes], rounds: int, slots: int = 100) -> None:
    """Store the same slots over and over."""
    for version in range(1, rounds + 1):
        for slot in range(slots):
            store(pipeline, model, slot, version)


def store(pipeline: Pipeline, model: dict[int, bytes], slot: int, version: int = 0) -> None:
    """Store a page, again if three bad blocks in a row are met."""
    data = page("mixed", slot, version)
    for _ in range(5):
        try:
            pipeline.store(slot, data)
        except PoolFull:
            continue
        model[slot] = data
        return
    pytest.fail("it does not get past the blocks that fail")


# -- bad blocks -----------------------------------------------------------------------------


def test_blocks_that_can_not_be_written_are_given_up_after_three_tries() -> None:
    with opened() as pipeline:
        first = member(pipeline, 0).space.start
        bad = {first + 3 * BLOCK, first + 4 * BLOCK, first + 9 * BLOCK}
        writes = Writes(pipeline, bad.__contains__)
        model: dict[int, bytes] = {}
        churn(pipeline, model, 40)
        # Of those that come after another that fails, one failure does not count.
        assert sorted(writes.offsets.count(one) for one in bad) == [3, 3, 4]
        stats = pipeline.stats()
        assert (stats.bad_blocks, stats.write_errors) == (3, 10)
        assert pipeline.devices()[0].bad_blocks == 3
        check_live(pipeline)
        verify(pipeline, model)


def test_a_full_device_tells_of_its_bad_blocks_and_cleans_the_others() -> None:
    with opened(device=SMALL) as pipeline:
        first = member(pipeline, 0).space.start
        bad = range(first + 4 * BLOCK, first + 12 * BLOCK)  # a third of it, all in a row
        writes = Writes(pipeline, bad.__contains__)
        model: dict[int, bytes] = {}
        churn(pipeline, model, 60, slots=90)
        assert pipeline.stats().bad_blocks == 8
        assert 24 <= sum(one in bad for one in writes.offsets) <= 40
        verify(pipeline, model)
        with pytest.raises(PoolFull, match=r"of its 16 blocks .* 8 more can not be written any m"):
            for slot in range(90, 500):
                pipeline.store(slot, page("mixed", slot, 0))
                model[slot] = page("mixed", slot, 0)
        verify(pipeline, model)


def test_with_bad_blocks_the_cleaner_still_has_good_ones() -> None:
    with opened(device=SMALL) as pipeline:
        first = member(pipeline, 0).space.start
        bad = range(first + 4 * BLOCK, first + 12 * BLOCK)
        Writes(pipeline, bad.__contains__)
        model: dict[int, bytes] = {}
        for slot in range(1000):
            store(pipeline, model, slot)
            if slot % 4 and slot > 60:  # so that no block dies by itself
                pipeline.invalidate(slot - 60)
                del model[slot - 60]
            if slot > 200 and slot - 200 in model:
                pipeline.invalidate(slot - 200)
                del model[slot - 200]
        assert pipeline.stats().cleaned_blocks > 20
        verify(pipeline, model)


def test_a_block_that_could_be_written_in_between_begins_anew() -> None:
    with opened() as pipeline:
        one = member(pipeline, 0).space.start + 3 * BLOCK
        tries: list[int] = []

        def two_of_three(offset: int) -> bool:
            tries.append(offset)
            return offset == one and tries.count(one) % 3 != 0

        Writes(pipeline, two_of_three)
        model: dict[int, bytes] = {}
        churn(pipeline, model, 100)
        assert tries.count(one) > 6
        assert pipeline.stats().bad_blocks == 0
        verify(pipeline, model)


@pytest.mark.parametrize("full", [False, True], ids=["unplugged", "no space"])
def test_no_block_of_a_device_that_goes_away_is_bad(full: bool) -> None:
    with opened(device=SMALL) as pipeline:
        model: dict[int, bytes] = {}
        churn(pipeline, model, 3)
        writes = Writes(pipeline, never, full=full)
        for version in range(4, 10):
            writes.fails = always
            for slot in range(120):
                try:
                    data = page("mixed", slot, version)
                    pipeline.store(slot, data)
                    model[slot] = data
                except PoolFull:
                    continue
            writes.fails = never
            churn(pipeline, model, 1)
        assert pipeline.stats().write_errors > 300
        assert pipeline.stats().bad_blocks == 0
        verify(pipeline, model)


def test_no_block_is_bad_because_the_medium_has_no_space_left() -> None:
    with opened(device=SMALL) as pipeline:
        first = member(pipeline, 0).space.start
        lacking = range(first + 8 * BLOCK, first + 14 * BLOCK)
        writes = Writes(pipeline, lacking.__contains__, full=True)
        model: dict[int, bytes] = {}
        churn(pipeline, model, 60, slots=90)
        assert pipeline.stats().write_errors > 20
        assert pipeline.stats().bad_blocks == 0
        verify(pipeline, model)
        writes.fails = never
        churn(pipeline, model, 20, slots=150)
        assert set(lacking[::BLOCK]) <= set(writes.offsets[-200:])
        verify(pipeline, model)


# -- a device that is away ------------------------------------------------------------------


def fill_up(pipeline: Pipeline) -> tuple[dict[int, bytes], PoolFull]:
    """Store until there is no room for a whole page; what was stored, and the error."""
    model: dict[int, bytes] = {}
    for slot in range(1000):
        data = page("random", slot, 0)
        try:
            pipeline.store(slot, data)
        except PoolFull as error:
            return model, error
        model[slot] = data
    raise AssertionError("the pool has no limit")


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
def test_away_it_goes_on_in_ram_and_says_why(
    synchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(synchronous=synchronous) as pipeline:
        writes = Writes(pipeline, always)
        with caplog.at_level(logging.WARNING, "coldpress"):
            model, error = fill_up(pipeline)
            for _ in range(3):
                with pytest.raises(PoolFull):
                    pipeline.store(1000, page("random", 1000, 0))
        assert "256KiB and nothing can be written out: Input/output error" in str(error)
        assert pipeline.stats().pool_bytes > 200 << 10
        (record,) = caplog.records
        assert record.getMessage() == (
            "device 0 (memory): 3 writes in a row have failed, "
            "and from now on it is tried now and then: Input/output error"
        )
        assert pipeline.stats().devices_away == 1
        assert pipeline.devices()[0].error == "Input/output error"
        verify(pipeline, model)
        writes.fails = never
        with caplog.at_level(logging.WARNING, "coldpress"):
            for slot in range(400):
                model[slot] = page("mixed", slot, 1)
                pipeline.store(slot, model[slot])
        assert [one.getMessage() for one in caplog.records[1:]] == [
            "device 0 (memory): it can be written again"
        ]
        assert pipeline.stats().devices_away == 0
        assert pipeline.devices()[0].error == ""
        verify(pipeline, model)


def test_writeback_goes_on_by_itself_when_the_device_is_back() -> None:
    with opened(synchronous=False) as pipeline:
        writes = Writes(pipeline, always)
        model, _ = fill_up(pipeline)
        writes.fails = never
        deadline = time.monotonic() + 10
        while not pipeline.stats().writeback_blocks and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pipeline.stats().writeback_blocks, "nobody tried"
        verify(pipeline, model)


def test_a_device_that_is_away_is_tried_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coldpress.backpressure._RETRY_SECONDS", 0.01)
    monkeypatch.setattr("coldpress.backpressure._LONGEST_SECONDS", 0.16)
    with opened(synchronous=False) as pipeline:
        writes = Writes(pipeline, always)
        fill_up(pipeline)
        begun = len(writes.offsets)
        ended = time.monotonic() + 1.0
        stores = 0
        while time.monotonic() < ended:  # some that need no room, each of which wakes the writers
            pipeline.store(1000 + stores % 16, bytes(4096))
            stores += 1
        assert stores > 200
        assert 2 <= len(writes.offsets) - begun <= 10
        gaps = [b - a for a, b in zip(writes.times, writes.times[1:], strict=False)]
        assert all(gap >= 0.16 for gap in gaps[6:])


def test_while_it_is_away_many_stores_are_refused_by_one_try() -> None:
    with opened(synchronous=False) as pipeline:
        writes = Writes(pipeline, always)
        fill_up(pipeline)
        data = page("random", 1000, 0)
        before = len(writes.offsets)
        calls = [Elsewhere(lambda: pipeline.store(1000, data)).start() for _ in range(8)]
        for one in calls:
            assert isinstance(one.join().error, PoolFull)
        assert len(writes.offsets) - before <= 4


def test_closing_does_not_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coldpress.backpressure._RETRY_SECONDS", 100.0)
    monkeypatch.setattr("coldpress.backpressure._LONGEST_SECONDS", 100.0)
    pipeline = opened(synchronous=False)
    writes = Writes(pipeline, always)
    storing = Elsewhere(lambda: fill_up(pipeline)).start()
    assert writes.failed.wait(30)
    closing = Elsewhere(pipeline.close).start()
    closing.join()
    assert closing.error is None
    assert isinstance(storing.join().error, PipelineClosed)


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
def test_with_another_device_all_goes_there(synchronous: bool) -> None:
    with opened(synchronous=synchronous) as pipeline:
        pipeline.add_device(MEMORY)
        Writes(pipeline, always)
        model = fill(pipeline, 1000)
        status = pipeline.devices()
        assert [one.error for one in status] == ["Input/output error", ""]
        assert status[0].used_bytes == 0
        verify(pipeline, model)
