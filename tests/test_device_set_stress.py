"""Devices that come and go under four threads, and proof that the threads see a broken drain."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from device_sets import before_each, check_live
from stress import shape

from coldpress import Device, DeviceFull, Pipeline
from coldpress.config import load_config
from coldpress.opendevice import OpenDevice
from coldpress.testing.threads import Report, stress

SECONDS = min(5.0, float(os.environ.get("COLDPRESS_STRESS_SECONDS", "4")))
SLOTS = 2000


class Changer:
    """A thread that adds a device and drains the oldest, over and over.

    `drained` is how many it did, `moved` their bytes.
    """

    def __init__(self, pipeline: Pipeline, folder: Path, kinds: tuple[str, ...]) -> None:
        self.drained = 0
        self.moved = 0
        self.errors: list[BaseException] = []
        self._images = 0
        self._pipeline = pipeline
        self._folder = folder
        self._kinds = itertools.cycle(kinds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Changer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def has_done(self, drains: int) -> bool:
        """Whether there were so many drains, of half a megabyte on the average."""
        return self.drained >= drains and self.moved >= drains << 19

    def _run(self) -> None:
        pipeline = self._pipeline
        try:
            while not self._stop.wait(0.05):
                use = next(self._kinds)
                table = {"use": use, "size": pipeline.config.device.size}
                if use != "memory":
                    self._images += 1
                    table["path"] = str(self._folder / f"{self._images}.img")
                pipeline.add_device(table)
                self._stop.wait(0.1)  # blocks go to both
                try:
                    self.moved += pipeline.drain_device(pipeline.devices()[0].number)
                except DeviceFull:
                    continue  # stores needed the room; with one device more there is enough
                self.drained += 1
        except BaseException as error:
            self.errors.append(error)


def run(
    folder: Path,
    seconds: float,
    *,
    seed: int = 1,
    drains: int = 0,
    fault: Callable[[Pipeline], None] = lambda pipeline: None,
    **tables: Any,
) -> tuple[Report, Changer]:
    with Pipeline(load_config(shape(SLOTS, **tables))) as pipeline:
        fault(pipeline)
        with Changer(pipeline, folder, ("file", "nvme", "memory")) as changer:
            report = stress(
                pipeline,
                SLOTS,
                seconds,
                seed=seed,
                folios=0.02,
                enough=lambda: changer.has_done(drains) or bool(changer.errors),
            )
        try:
            pipeline.sync()
            with pipeline._gate.lock:
                pipeline._backpressure.pause()
            check_live(pipeline)
        except Exception as error:
            report.errors.append(error)
    return report, changer


@pytest.mark.parametrize("packer", ["bounce", "page"])
def test_nothing_is_wrong_or_lost_while_devices_come_and_go(packer: str, tmp_path: Path) -> None:
    tables: dict[str, Any] = {"writeback": {"promote": "second", "readahead": True}}
    if packer == "page":
        tables |= {"packer": {"use": "page", "block": "4KiB"}, "device": {"size": "32MiB"}}
    report, changer = run(tmp_path, SECONDS / 2, drains=3, **tables)
    assert not report.wrong
    assert not report.errors
    assert not changer.errors
    assert changer.has_done(3)
    assert not list(tmp_path.glob("*.img"))


def a_clean_copy_s_place_stays(pipeline: Pipeline) -> None:
    entries = pipeline._entries
    moved = entries.moved

    def without(slot: int, order: int, old: int, new: int) -> bool:
        clean = {one: entries._clean[one] for one in entries.referring(slot, order, old)}
        done = moved(slot, order, old, new)
        for one, place in clean.items():
            if place:
                entries._clean[one] = place
        return done

    entries.moved = without  # type: ignore[method-assign]


def blocks_are_still_given_out(pipeline: Pipeline) -> None:
    space = pipeline._store.space
    drain = space.drain

    def overlooked(one: Any, draining: bool) -> None:
        drain(one, draining)
        space._accepting = space.members

    space.drain = overlooked  # type: ignore[method-assign]


def writes_in_flight_are_not_waited_for(pipeline: Pipeline) -> None:
    class Hasty(OpenDevice):
        writing = property(lambda self: 0, lambda self, count: None)  # type: ignore[assignment]

    def slowly(offset: int) -> None:
        if threading.current_thread().name.startswith("coldpress-writeback"):
            time.sleep(0.2)  # as long as a drain takes, whose own writes are quick

    def make_hasty(one: OpenDevice) -> None:
        one.__class__ = Hasty
        before_each(one.device, "write", slowly)

    space = pipeline._store.space
    join = space.join

    def joined(device: Device, largest: int) -> OpenDevice | None:
        one = join(device, largest)
        if one is not None:
            make_hasty(one)
        return one

    make_hasty(space.members[0])
    space.join = joined  # type: ignore[method-assign]


def a_moved_object_stays_live_where_it_was(pipeline: Pipeline) -> None:
    device_type = pipeline._entries.device_type
    release, calls = device_type.release, itertools.count(1)

    def forgetful(payload: int) -> None:
        if next(calls) % 97:
            release(payload)

    device_type.release = forgetful  # type: ignore[method-assign]


def an_old_place_is_taken_for_good(pipeline: Pipeline) -> None:
    pipeline._loads._is_same = lambda slot, word, token: True  # type: ignore[method-assign]


FAULTS = [
    a_clean_copy_s_place_stays,
    blocks_are_still_given_out,
    writes_in_flight_are_not_waited_for,
    a_moved_object_stays_live_where_it_was,
    an_old_place_is_taken_for_good,
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_threads_see_a_planted_fault(fault: Callable[[Pipeline], None], tmp_path: Path) -> None:
    for seed in range(8):
        folder = tmp_path / str(seed)
        folder.mkdir()
        report, changer = run(folder, 1.0, seed=seed, fault=fault)
        if report.wrong or report.errors or changer.errors:
            return
    pytest.fail("no thread saw anything wrong")
