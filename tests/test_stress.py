"""Threads racing with writeback and cleaner, and proof that they see a broken protocol."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from stress import noise_page, shape
from writes import slow_writes

from coldpress import Pipeline
from coldpress.config import load_config
from coldpress.roles import DeviceObject
from coldpress.testing.threads import Report, stamped_page, stress

SECONDS = float(os.environ.get("COLDPRESS_STRESS_SECONDS", "4"))


@pytest.mark.parametrize("packer", ["bounce", "zsmalloc", "zspage", "page"])
def test_nothing_is_wrong_or_lost(packer: str) -> None:
    slots = 4000
    tables: dict[str, Any] = {}
    if packer != "bounce":  # these waste space inside blocks, so they get more of it
        block = "4KiB" if packer == "page" else "32KiB"
        tables = {"packer": {"use": packer, "block": block}, "device": {"size": "64MiB"}}
    with Pipeline(load_config(shape(slots, **tables))) as pipeline:
        slow_writes(pipeline, 0.001)
        seconds = SECONDS if packer == "bounce" else SECONDS / 8
        cleans = packer == "bounce"

        def enough() -> bool:
            stats = pipeline.stats()
            much = stats.refaults > 1000 and (not cleans or stats.cleaned_blocks > 20)
            return much and (not cleans or pipeline._writeback.counters.lost_races > 0)

        report = stress(pipeline, slots, seconds, folios=0.02, enough=enough)
        stats = pipeline.stats()
        assert enough()
    assert not report.wrong
    assert not report.errors
    assert stats.pool_bytes_peak <= stats.pool_limit


def test_with_sync_and_compaction_all_the_while() -> None:
    slots = 4000
    with Pipeline(load_config(shape(slots))) as pipeline:
        stop = threading.Event()
        errors: list[BaseException] = []

        def meddle() -> None:
            try:
                while not stop.wait(0.05):
                    pipeline.sync()
                    pipeline.compact()
            except BaseException as error:
                errors.append(error)

        meddler = threading.Thread(target=meddle)
        meddler.start()
        report = stress(pipeline, slots, SECONDS / 6)
        stop.set()
        meddler.join()
    assert not report.wrong
    assert not report.errors
    assert not errors


def publishes_without_comparing(pipeline: Pipeline) -> None:
    entries = pipeline._entries

    def always(victim: Any) -> list[int]:
        entries.changed(victim.slot, victim.word)
        return [victim.slot]

    entries.unstage = always  # type: ignore[method-assign]


def reuses_a_handle_in_flight(pipeline: Pipeline) -> None:
    # Without the mark, the word decides; and a freed handle is the next one given out.
    entries = pipeline._entries

    def by_word(victim: Any) -> Sequence[int]:
        entries.changed(victim.slot, victim.word)
        return entries.members(victim.slot, victim.word)

    entries.unstage = by_word  # type: ignore[method-assign]


def frees_a_block_with_live_objects(pipeline: Pipeline) -> None:
    space = pipeline._store.space.members[0].space
    release, calls = space.release, iter(range(10**9))

    def twice(offset: int, length: int) -> bool:
        freed = release(offset, length)
        if next(calls) % 50 == 0 and space.live(offset):
            space._push(space.number(offset))
        return freed

    space.release = twice  # type: ignore[method-assign]


def skips_the_checksum(pipeline: Pipeline) -> None:
    device, calls = pipeline.config.device, iter(range(10**9))
    read = device.read_into

    def flip(offset: int, buffer: memoryview) -> None:
        read(offset, buffer)
        if next(calls) % 100 == 0:
            buffer[24 + 60] ^= 1  # inside the object's bytes, with lz4 often a literal

    def unchecked(data: memoryview, wanted: DeviceObject) -> None:
        wanted.codec = 1
        wanted.data = bytes(data[24 : 24 + wanted.length])

    device.read_into = flip  # type: ignore[method-assign]
    pipeline.config.packer.extract = unchecked  # type: ignore[method-assign]


FAULTS = [
    publishes_without_comparing,
    reuses_a_handle_in_flight,
    frees_a_block_with_live_objects,
    skips_the_checksum,
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_stress_sees_a_planted_fault(fault: Callable[[Pipeline], None]) -> None:
    slots = 1000
    page = noise_page if fault is reuses_a_handle_in_flight else stamped_page
    reports: list[Report] = []
    # Writeback begins well below the limit, so that no store waits: a waiting one would be given
    # the handle that another has just freed.
    tables = {
        "allocator": {"limit": "1MiB"},
        "device": {"size": "16MiB"},
        "writeback": {"high": "50%", "accept": "45%"},
    }
    for seed in range(8):
        with Pipeline(load_config(shape(slots, **tables))) as pipeline:
            fault(pipeline)
            slow_writes(pipeline, 0.003)
            reports.append(stress(pipeline, slots, 1.5, seed=seed, page=page))
        if reports[-1].wrong or reports[-1].errors:
            return
    pytest.fail("no thread saw anything wrong")
