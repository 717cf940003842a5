"""Drains that meet a full device, or a broken one."""

from __future__ import annotations

import pytest
from device_sets import (
    MEMORY,
    before_each,
    broken,
    check_live,
    fill,
    member,
    opened,
    slots_on,
    states,
    verify,
)

from coldpress import (
    CorruptBlock,
    DeviceError,
    DeviceFull,
)
from coldpress.testing.pages import PAGE, page

# -- no room --------------------------------------------------------------------------------


def test_without_room_elsewhere_nothing_is_moved() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device({"use": "memory", "size": "256KiB"})
        before = pipeline.stats().writeback_blocks
        live = member(pipeline, 0).space.live_bytes
        with pytest.raises(DeviceFull, match=f"device 0 can not be drained: {live} bytes on it"):
            pipeline.drain_device(0)
        assert pipeline.stats().writeback_blocks == before
        assert states(pipeline) == {0: "open", 1: "open"}
        model |= fill(pipeline, 100, version=1)
        verify(pipeline, model)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        verify(pipeline, model)


def test_what_fits_just_in_bytes_may_not_fit_in_blocks() -> None:
    with opened() as pipeline:
        model = {slot: page("noise", slot, 0) for slot in range(300)}  # three to a block
        for slot, data in model.items():
            pipeline.store(slot, data)
        live = member(pipeline, 0).space.live_bytes
        blocks = live // 16384 + 4
        pipeline.add_device({"use": "memory", "size": 2 * PAGE + blocks * 16384})
        with pytest.raises(DeviceFull, match="there is no room for them on the others"):
            pipeline.drain_device(0)
        assert 0 < member(pipeline, 0).space.live_bytes < live
        assert states(pipeline) == {0: "open", 1: "open"}
        verify(pipeline, model)
        model |= fill(pipeline, 50, version=1)  # and it is written to again
        verify(pipeline, model)


def test_what_is_dead_elsewhere_is_cleaned_to_make_room() -> None:
    with opened(device={"use": "memory", "size": "1MiB"}) as pipeline:
        pipeline.add_device({"use": "memory", "size": "1MiB"})
        model = fill(pipeline, 700)
        for slot in [slot for slot in model if slot % 5 < 3]:
            pipeline.invalidate(slot)
            del model[slot]
        pipeline.drain_device(0)
        assert pipeline.stats().cleaned_blocks > 0
        verify(pipeline, model)


# -- a device that fails --------------------------------------------------------------------


def test_blocks_that_can_not_be_read_stay_and_the_rest_moves() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        one = member(pipeline, 0)
        bad = list(one.space.used)[3:5]
        within = pipeline._entries.within(range(1024), bad[0], bad[1] + 16384)
        lost = [slot for slot, _, _ in within]

        def fails(offset: int) -> None:
            if bad[0] <= offset < bad[1] + 16384:
                broken(offset)

        real = before_each(one.device, "read_into", fails)
        with pytest.raises(DeviceError) as caught:
            pipeline.drain_device(0)
        assert f"can not read slot {lost[0]} (block 3), " in str(caught.value)
        assert f"slot {lost[7]} (block" in str(caught.value)
        assert f"{len(lost) - 8} more: slot {lost[0]}: block 3: Input" in str(caught.value)
        assert slots_on(pipeline, 0) == lost
        assert states(pipeline) == {0: "open", 1: "open"}
        for slot, data in model.items():
            if slot not in lost:
                assert pipeline.load(slot) == data
        check_live(pipeline)
        one.device.read_into = real  # type: ignore[method-assign]
        pipeline.drain_device(0)
        verify(pipeline, model)


@pytest.mark.parametrize("use", ["bounce", "page"])
def test_a_damaged_object_is_named_and_the_rest_moves(use: str) -> None:
    packer = {"use": use, "block": "16KiB" if use == "bounce" else "4KiB"}
    with opened(packer=packer) as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        slot = slots_on(pipeline, 0)[20]
        ((_, offset, _),) = pipeline._entries.within(range(slot, slot + 1), 0, 4 << 20)
        member(pipeline, 0).device.write(offset + 30, b"\xff\x00\xff\x00")
        with pytest.raises(DeviceError, match=rf"drained: can not read slot {slot} \(block \d+\)"):
            pipeline.drain_device(0)
        assert slots_on(pipeline, 0) == [slot]
        with pytest.raises(CorruptBlock):
            pipeline.load(slot)
        model[slot] = page("mixed", slot, 1)
        pipeline.store(slot, model[slot])  # which lets go of what was damaged
        pipeline.drain_device(0)
        verify(pipeline, model)


@pytest.mark.parametrize("encrypt", ["", "ephemeral"])
def test_with_a_damaged_header_objects_are_moved_one_by_one(encrypt: str) -> None:
    device = {**MEMORY, "encrypt": encrypt}
    with opened(device=device) as pipeline:
        model = fill(pipeline)
        pipeline.add_device(device)
        one = member(pipeline, 0)
        for block in one.space.used[2:6]:
            one.device.write(block + 8, b"\xff\xff\xff\xff")
        pipeline.drain_device(0)
        verify(pipeline, model)


def test_when_nothing_can_be_written_elsewhere_all_stays() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        before_each(member(pipeline, 1).device, "write", broken)
        with pytest.raises(DeviceError, match="nothing can be written elsewhere: Input/output"):
            pipeline.drain_device(0)
        assert states(pipeline) == {0: "open", 1: "open"}
        assert not slots_on(pipeline, 1)
        verify(pipeline, model)


def test_blocks_go_to_a_device_that_works_when_another_fails() -> None:
    with opened() as pipeline:
        writes: list[int] = []
        pipeline.add_device({"use": "memory", "size": "64MiB"})  # always the emptier one

        def fails(offset: int) -> None:
            writes.append(offset)
            broken(offset)

        before_each(member(pipeline, 1).device, "write", fails)
        model = fill(pipeline, 1000)
        assert 0 < len(writes) < member(pipeline, 0).space.in_use / 16
        assert not slots_on(pipeline, 1)
        verify(pipeline, model)


def test_a_plugin_s_fault_while_a_block_is_written_loses_nothing() -> None:
    def faulty(offset: int) -> None:
        raise RuntimeError("a plugin's fault")

    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        real = before_each(member(pipeline, 1).device, "write", faulty)
        with pytest.raises(RuntimeError, match="a plugin's fault"):
            pipeline.drain_device(0)
        verify(pipeline, model)
        member(pipeline, 1).device.write = real  # type: ignore[method-assign]
        pipeline.drain_device(0)
        verify(pipeline, model)


def test_a_device_that_can_not_be_closed_properly_is_gone_all_the_same() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)

        def fails() -> None:
            raise DeviceError("the contents could not be removed")

        member(pipeline, 0).device.close = fails  # type: ignore[method-assign]
        with pytest.raises(DeviceError, match="could not be removed"):
            pipeline.drain_device(0)
        assert states(pipeline) == {1: "open"}
        verify(pipeline, model)


def test_the_others_are_flushed_before_a_drained_device_is_closed() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        pipeline.sync()
        calls: list[str] = []
        old, new = member(pipeline, 0).device, member(pipeline, 1).device
        before_each(new, "write", lambda offset: calls.append("write"))
        flush, close = new.flush, old.close
        new.flush = lambda: (calls.append("flush"), flush())[1]  # type: ignore[method-assign]
        old.close = lambda: (calls.append("close"), close())[1]  # type: ignore[method-assign]
        pipeline.drain_device(0)
        assert calls[-3:] == ["write", "flush", "close"]

        def fails() -> None:
            raise DeviceError("flush failed")

        pipeline.add_device(MEMORY)
        member(pipeline, 2).device.flush = fails  # type: ignore[method-assign]
        with pytest.raises(DeviceError, match="flush failed"):
            pipeline.drain_device(1)
        assert states(pipeline) == {1: "open", 2: "open"}
        verify(pipeline, model)
