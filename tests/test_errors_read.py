"""Reads that fail, for a moment or for good, and blocks that are damaged: only their objects go."""

from __future__ import annotations

import time

import pytest
from device_sets import (
    BLOCK,
    MEMORY,
    before_each,
    check_live,
    fill,
    member,
    opened,
    slots_on,
    verify,
)

from coldpress import CorruptBlock, DeviceError, Pipeline, SlotEmpty, cleaner, moving
from coldpress.testing.pages import PAGE, page, same


class Unreadable:
    """Reads of device 0 that touch a range fail, so many times if that is given."""

    def __init__(self, pipeline: Pipeline, start: int, end: int, times: int = 1 << 30) -> None:
        self.start, self.end = start, end
        self.times = times
        self.reads = 0
        before_each(member(pipeline, 0).device, "read_into", self.fail)

    def fail(self, offset: int) -> None:
        if self.start <= offset < self.end:
            self.reads += 1
            if self.times:
                self.times -= 1
                raise DeviceError("Input/output error")


def in_block(pipeline: Pipeline, start: int) -> list[int]:
    """The slots whose object is in the block at this offset."""
    within = pipeline._entries.within(range(1024), start, start + BLOCK)
    return [slot for slot, _, _ in within]


def thinned(pipeline: Pipeline, model: dict[int, bytes]) -> None:
    """Of all blocks, most of what is in them is dead: each is worth its cleaning."""
    for block in member(pipeline, 0).space.used:
        for slot in in_block(pipeline, block)[1:]:
            pipeline.invalidate(slot)
            del model[slot]


def clean(pipeline: Pipeline) -> bool:
    with pipeline._gate.lock:
        return pipeline._cleaner.clean(unlocked=False)


@pytest.mark.parametrize("fails", [1, 2])
def test_a_read_that_fails_for_a_moment_is_tried_again(fails: int) -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        slot = slots_on(pipeline, 0)[0]
        Unreadable(pipeline, 0, 1 << 30, times=fails)
        assert same(pipeline.load(slot), model[slot])
        stats = pipeline.stats()
        assert (stats.read_retries, stats.read_errors) == (fails, 0)


def test_what_can_not_be_read_is_an_error_of_its_slot_alone() -> None:
    with opened(synchronous=False) as pipeline:
        model = fill(pipeline)
        pipeline.sync()
        bad = member(pipeline, 0).space.used[2]
        lost = in_block(pipeline, bad)
        broken = Unreadable(pipeline, bad, bad + BLOCK)
        with pytest.raises(DeviceError, match=rf"^slot {lost[0]}: block 2: Input/output error$"):
            pipeline.load(lost[0])
        assert broken.reads == 3
        assert pipeline.stats().read_errors == 1
        others = [slot for slot in slots_on(pipeline, 0) if slot not in lost]
        assert all(same(pipeline.load(slot), model[slot]) for slot in others)
        buffer = memoryview(bytearray(PAGE * (lost[0] + 1)))
        with pytest.raises(DeviceError, match=f"slot {lost[0]}: "):
            pipeline.load_many(0, buffer)
        assert all(same(buffer[at * PAGE :][:PAGE], model[at]) for at in range(lost[0]))
        broken.times = 0
        verify(pipeline, model)


def test_the_pause_between_two_tries_does_not_hold_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened() as pipeline:
        fill(pipeline)
        held = []
        monkeypatch.setattr(
            "coldpress.rereading.time.sleep", lambda _: held.append(pipeline._gate.lock.locked())
        )
        Unreadable(pipeline, 0, 1 << 30)
        with pytest.raises(DeviceError):
            pipeline.load(slots_on(pipeline, 0)[0])
        assert held == [False, False]


def test_a_device_that_does_not_answer_is_not_tried_thrice_for_each_page() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        there = slots_on(pipeline, 0)
        broken = Unreadable(pipeline, 0, 1 << 30)
        for slot in there:
            with pytest.raises(DeviceError):
                pipeline.load(slot)
        assert broken.reads == len(there) + 8 * 2
        broken.times = 0
        assert same(pipeline.load(there[0]), model[there[0]])
        broken.times = 2  # it answers, so what fails is worth another try
        assert same(pipeline.load(there[1]), model[there[1]])


def test_readahead_does_not_need_what_it_brings_along() -> None:
    writeback = {"promote": "first", "readahead": True}
    with opened(writeback=writeback, allocator={"limit": "2MiB"}) as pipeline:
        model = fill(pipeline, 1000)
        block = member(pipeline, 0).space.used[3]
        inside = in_block(pipeline, block)
        last = inside[-1]
        ((_, offset, _),) = pipeline._entries.within(range(last, last + 1), 0, 4 << 20)

        def touches(at: int) -> None:
            if at in (block, offset):  # the I/O of the whole block begins at the former
                raise DeviceError("Input/output error")

        before_each(member(pipeline, 0).device, "read_into", touches)
        for slot in inside[1:-1]:
            assert same(pipeline.load(slot), model[slot])
        with pytest.raises(DeviceError, match=f"slot {last}: "):
            pipeline.load(last)


def test_the_cleaner_leaves_a_block_that_can_not_be_read_and_comes_back_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        thinned(pipeline, model)
        bad = member(pipeline, 0).space.used[2]
        broken = Unreadable(pipeline, bad, bad + BLOCK)
        while clean(pipeline):
            pass
        assert broken.reads == 3, "it was tried by more than one cleaning, or not at all"
        assert in_block(pipeline, bad), "its objects are gone"
        assert pipeline.stats().cleaned_blocks > 3
        broken.times = 0
        clean(pipeline)
        assert broken.reads == 3
        later = time.monotonic() + moving.UNREADABLE_SECONDS
        monkeypatch.setattr("coldpress.moving.time.monotonic", lambda: later)
        clean(pipeline)
        assert broken.reads == 4
        assert not in_block(pipeline, bad)
        verify(pipeline, model)


def test_of_a_device_that_does_not_answer_the_cleaner_tries_a_few_blocks() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        thinned(pipeline, model)
        used = len(member(pipeline, 0).space.used)
        assert used > 10
        broken = Unreadable(pipeline, 0, 1 << 30)
        assert not clean(pipeline)
        assert broken.reads == 3 * cleaner.TRIES
        broken.times = 0
        assert clean(pipeline), "all were left alone"
        verify(pipeline, model)


def test_a_drain_survives_reads_that_fail_for_a_moment() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        one = member(pipeline, 0)
        seen: dict[int, int] = {}

        def twice(offset: int) -> None:
            seen[offset] = seen.get(offset, 0) + 1
            if seen[offset] < 3:
                raise DeviceError("Input/output error")

        before_each(one.device, "read_into", twice)
        pipeline.drain_device(0)
        verify(pipeline, model)


# -- damage ---------------------------------------------------------------------------------


def damage(pipeline: Pipeline, slot: int) -> int:
    """Change some bytes of the slot's object on the device; where its block begins."""
    ((_, offset, _),) = pipeline._entries.within(range(slot, slot + 1), 0, 4 << 20)
    member(pipeline, 0).device.write(offset + 30, b"\xff\x00\xff\x00")
    return member(pipeline, 0).space.start_of(offset)


@pytest.mark.parametrize("heal", ["store", "invalidate"])
def test_of_a_damaged_block_the_good_objects_are_moved(heal: str) -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        block = member(pipeline, 0).space.used[2]
        good, bad, *rest = in_block(pipeline, block)
        for slot in rest:
            pipeline.invalidate(slot)
            del model[slot]
        damage(pipeline, bad)
        while good in in_block(pipeline, block):
            for slot in list(model)[::3]:
                if slot not in (good, bad):
                    pipeline.invalidate(slot)
                    del model[slot]
            assert clean(pipeline)
        assert in_block(pipeline, block) == [bad]
        assert same(pipeline.load(good), model[good])
        for _ in range(3):
            with pytest.raises(CorruptBlock, match=f"slot {bad}: block 2, "):
                pipeline.load(bad)
        touched: list[int] = []
        before_each(member(pipeline, 0).device, "read_into", touched.append)
        clean(pipeline)
        assert block not in touched, "it is cleaned again and again"
        if heal == "store":
            model[bad] = page("mixed", bad, 7)
            pipeline.store(bad, model[bad])
        else:
            pipeline.invalidate(bad)
            del model[bad]
            with pytest.raises(SlotEmpty):
                pipeline.load(bad)
        assert not in_block(pipeline, block)
        model |= fill(pipeline, 300, version=8)  # and the block is used again
        verify(pipeline, model)
        check_live(pipeline)
