"""Writes that fail: blocks that are bad, and devices that go away and come back."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contents import holds
from device_sets import MEMORY, Elsewhere, before_each, check_live, fill, member, opened, verify

from coldpress import DeviceError, DeviceFull, Pipeline, PipelineClosed, PoolFull
from coldpress.testing.pages import page, same

BLOCK = 16384
SMALL = {"use": "memory", "size": 2 * 4096 + 24 * BLOCK}


class Writes:
    """The writes to a device, of which those fail that `fails` says of, by their offset."""

    def __init__(
        self, pipeline: Pipeline, fails: Callable[[int], bool], number: int = 0, full: bool = False
    ) -> None:
        self.fails = fails
        self.full = full
        self.offsets: list[int] = []
        self.times: list[float] = []
        self.failed = threading.Event()
        before_each(member(pipeline, number).device, "write", self._write)

    def _write(self, offset: int) -> None:
        self.offsets.append(offset)
        self.times.append(time.monotonic())
        if self.fails(offset):
            self.failed.set()
            raise (DeviceFull if self.full else DeviceError)("Input/output error")


def always(offset: int) -> bool:
    return True


def never(offset: int) -> bool:
    return False


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


# -- sync -----------------------------------------------------------------------------------


def test_a_sync_writes_past_blocks_that_fail() -> None:
    with opened() as pipeline:
        model = fill(pipeline, 40)
        tries = iter(range(1000))
        Writes(pipeline, lambda _: next(tries) % 3 < 2)  # two fail, one goes well
        pipeline.sync()
        assert not list(pipeline._entries.dirty())
        verify(pipeline, model)


def test_a_sync_gives_up_after_three_failed_writes_in_a_row_and_works_later() -> None:
    with opened() as pipeline:
        model = fill(pipeline, 40)
        writes = Writes(pipeline, always)
        with pytest.raises(DeviceError, match="Input/output error"):
            pipeline.sync()
        assert len(writes.offsets) == 3
        writes.fails = never
        pipeline.sync()
        assert same(pipeline.load(0), model[0])
        verify(pipeline, model)


def test_a_failed_flush_is_not_tried_again() -> None:
    with opened() as pipeline:
        fill(pipeline, 40)
        calls: list[Any] = []

        def fails() -> None:
            calls.append(None)
            raise DeviceError("flush failed: Input/output error")

        device: Any = member(pipeline, 0).device
        real, device.flush = device.flush, fails
        with pytest.raises(DeviceError, match="flush failed"):
            pipeline.sync()
        assert len(calls) == 1
        assert pipeline.devices()[0].error == "flush failed: Input/output error"
        device.flush = real
        pipeline.sync()
        assert pipeline.devices()[0].error == ""


# -- a persistent device --------------------------------------------------------------------


def kept(path: Path) -> Pipeline:
    return opened(device={"use": "file", "path": str(path), "size": "4MiB", "persistent": True})


def test_what_was_synced_survives_a_device_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "cold.img"
    pipeline = kept(path)
    model = fill(pipeline, 60)
    pipeline.sync()
    writes = Writes(pipeline, always)
    pipeline.store(3, page("text", 3, 1))
    with pytest.raises(DeviceError, match="Input/output error"):
        pipeline.sync()
    assert len(writes.offsets) == 3
    assert same(pipeline.load(3), page("text", 3, 1))
    with pytest.raises(DeviceError, match="Input/output error"):
        pipeline.close()
    with kept(path) as again:
        holds(again, model)
        writes = Writes(again, always)
        model[3] = page("text", 3, 2)
        again.store(3, model[3])
        again.invalidate(4)
        del model[4]
        with pytest.raises(DeviceError):
            again.sync()
        writes.fails = never
        again.sync()
        again._close()  # without the sync that `close` begins with
    with kept(path) as again:
        holds(again, model)


def test_after_a_failed_flush_what_was_synced_is_there_when_it_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cold.img"
    advice: list[tuple[int, int, int]] = []
    real = os.posix_fadvise

    def advise(fd: int, offset: int, length: int, kind: int) -> None:
        advice.append((offset, length, kind))
        real(fd, offset, length, kind)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    pipeline = kept(path)
    model = fill(pipeline, 60)
    pipeline.sync()

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", broken)
        pipeline.store(3, page("text", 3, 1))
        with pytest.raises(DeviceError, match=r"flush failed: Input/output error"):
            pipeline.sync()
    for call in (pipeline.sync, pipeline.close):
        with pytest.raises(DeviceError, match=r"earlier flush failed.* is there when it is opened"):
            call()
    advice.clear()
    with kept(path) as again:
        assert advice == [(0, 0, os.POSIX_FADV_DONTNEED)]
        assert again.load(3) in (model[3], page("text", 3, 1))
        model[3] = again.load(3)
        holds(again, model)


def test_a_full_pool_on_a_device_whose_flush_failed_says_so(tmp_path: Path) -> None:
    pipeline = kept(tmp_path / "cold.img")
    model = fill(pipeline, 60)
    pipeline.sync()

    def fails() -> None:
        raise DeviceError("flush failed: Input/output error")

    device: Any = member(pipeline, 0).device
    real, device.flush = device.flush, fails
    with pytest.raises(PoolFull, match="without a flush, which failed: flush failed: Input/output"):
        for version in range(1, 50):
            model |= fill(pipeline, 200, version=version)
    device.flush = real
    fill(pipeline, 200, version=50)
    pipeline.close()


def test_a_full_device_that_needs_no_flush_does_not_blame_one() -> None:
    with opened(device=SMALL) as pipeline:

        def fails() -> None:
            raise DeviceError("flush failed: Input/output error")

        device: Any = member(pipeline, 0).device
        device.flush = fails
        model = fill(pipeline, 20)
        with pytest.raises(DeviceError, match="flush failed"):
            pipeline.sync()
        with pytest.raises(PoolFull, match="full") as caught:
            for slot in range(20, 1000):
                pipeline.store(slot, page("random", slot, 0))
                model[slot] = page("random", slot, 0)
        assert "flush" not in str(caught.value)
        verify(pipeline, model)
