"""Syncs whose writes or flush fail, and what is there when the device is opened again."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from contents import holds
from device_sets import SMALL, fill, member, opened, verify
from writes import Writes, always, never

from coldpress import DeviceError, Pipeline, PoolFull
from coldpress.testing.pages import page, same


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
        assert len(writes.offsets) > 2
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


@pytest.mark.parametrize("failing", range(2))
def test_a_slot_that_was_emptied_under_its_folio_stays_so_whichever_write_fails_first(
    tmp_path: Path, failing: int
) -> None:
    """The folio's record tells of a page that is gone, so the slot needs one of its own."""
    path, copy = tmp_path / "cold.img", tmp_path / "copy.img"
    with kept(path) as pipeline:
        model = fill(pipeline, 4)
        pipeline.store(4, page("text", 4, 1) + page("text", 5, 1))
        pipeline.invalidate(5)
        model[4] = page("text", 4, 1)
        tries = iter(range(1000))
        writes = Writes(pipeline, lambda _: next(tries) == failing)
        pipeline.sync()
        assert len(writes.offsets) > 2
        copy.write_bytes(path.read_bytes())  # as a crash would leave it
    with kept(copy) as again:
        holds(again, model)
