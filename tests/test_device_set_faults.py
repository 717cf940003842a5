"""Drains that meet a full or broken device, a closing pipeline, Ctrl-C, or each other."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from device_sets import MEMORY, before_each, check_live, fill, member, opened, slots_on, verify

from coldpress import (
    ConfigError,
    CorruptBlock,
    DeviceError,
    DeviceFull,
    Pipeline,
    PipelineClosed,
)
from coldpress.testing.pages import PAGE, page


class Elsewhere:
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._call = call
        self.thread = threading.Thread(target=self._run)

    def start(self) -> Elsewhere:
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def join(self) -> Elsewhere:
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self


def broken(offset: int) -> None:
    raise DeviceError("Input/output error")


def states(pipeline: Pipeline) -> dict[int, str]:
    return {one.number: one.state for one in pipeline.devices()}


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


def test_with_a_damaged_header_objects_are_moved_one_by_one() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
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


# -- what goes on meanwhile -----------------------------------------------------------------


def held_load(pipeline: Pipeline, slot: int) -> tuple[Elsewhere, threading.Event]:
    """A load that goes on to read device 0 only when the event is set."""
    begun, go = threading.Event(), threading.Event()

    def held(offset: int) -> None:
        if threading.current_thread() is load.thread:
            begun.set()
            assert go.wait(60)

    before_each(member(pipeline, 0).device, "read_into", held)
    load = Elsewhere(lambda: pipeline.load(slot))
    load.start()
    assert begun.wait(60)
    return load, go


@pytest.mark.parametrize("use", ["memory", "file", "nvme"])
@pytest.mark.parametrize("reuse", [False, True], ids=["gone", "reused"])
def test_a_read_begun_before_its_device_was_closed_finds_the_page(
    use: str, reuse: bool, tmp_path: Path
) -> None:
    path = {} if use == "memory" else {"path": str(tmp_path / "cold.img")}
    with opened(device={"use": use, **path}) as pipeline:
        model = fill(pipeline)
        slot = slots_on(pipeline, 0)[-1]
        load, go = held_load(pipeline, slot)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        if reuse:  # another, smaller device has the old one's offsets
            pipeline.add_device({"use": "memory", "size": "128KiB"})
            model |= fill(pipeline, 50, version=1)
        go.set()
        assert load.join().result == model[slot]
        verify(pipeline, model)


def test_a_read_is_not_taken_for_failed_when_its_object_comes_back_to_the_same_place() -> None:
    # The same word again, on another device with the same offsets: only the stamp tells.
    with opened() as pipeline:
        model = fill(pipeline)
        slot = slots_on(pipeline, 0)[0]
        word = pipeline._entries.table.get(slot)
        load, go = held_load(pipeline, slot)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(1)  # block after block, all of it comes to where it was
        assert pipeline._entries.table.get(slot) == word
        go.set()
        load.join()
        assert load.error is None
        assert load.result == model[slot]


def test_a_write_in_flight_is_waited_for() -> None:
    with opened(synchronous=False) as pipeline:
        begun, go = threading.Event(), threading.Event()

        def held(offset: int) -> None:
            begun.set()
            assert go.wait(60)

        before_each(pipeline.config.device, "write", held)
        model = {slot: page("mixed", slot, 0) for slot in range(400)}
        stores = Elsewhere(lambda: [pipeline.store(s, data) for s, data in model.items()]).start()
        assert begun.wait(60)
        pipeline.add_device(MEMORY)
        drain = Elsewhere(lambda: pipeline.drain_device(0)).start()
        while states(pipeline)[0] == "open":
            time.sleep(0.001)
        with pytest.raises(ConfigError, match="device 0 is being drained already"):
            pipeline.drain_device(0)
        with pytest.raises(ConfigError, match="device 1 is the only one"):
            pipeline.drain_device(1)
        assert member(pipeline, 0).writing > 0
        go.set()
        assert drain.join().error is None
        assert stores.join().error is None
        verify(pipeline, model)


def test_two_devices_are_drained_at_once() -> None:
    with opened(synchronous=False) as pipeline:
        pipeline.add_device(MEMORY)
        model = fill(pipeline, 900)
        pipeline.add_device({"use": "memory", "size": "16MiB"})
        drains = [Elsewhere(partial(pipeline.drain_device, n)).start() for n in (0, 1)]
        model |= fill(pipeline, 300, version=1)
        assert [one.join().error for one in drains] == [None, None]
        assert states(pipeline) == {2: "open"}
        verify(pipeline, model)


def meanwhile(pipeline: Pipeline, act: Callable[[int], None]) -> None:
    """Call `act` with 0, 1, 2, ... while blocks of device 0 are read by its drain."""
    calls, acting = iter(range(10**9)), []

    def between(offset: int) -> None:
        if threading.current_thread().name.startswith("coldpress-drain") and not acting:
            acting.append(True)
            act(next(calls))
            acting.clear()

    before_each(member(pipeline, 0).device, "read_into", between)


def test_what_changes_while_it_is_read_is_not_moved() -> None:
    with opened(writeback={"promote": "first"}) as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)

        def change(call: int) -> None:
            # Some that are in the block which is being read, some that are in RAM.
            for slot in range(call * 7 % 390, call * 7 % 390 + 9, 3):
                model[slot] = page("mixed", slot, 1 + call)
                pipeline.store(slot, model[slot])
            for slot in range(call * 7 % 390 + 1, call * 7 % 390 + 9, 3):
                assert pipeline.load(slot) == model[slot]  # promotes
            pipeline.invalidate(399 - call)
            model.pop(399 - call, None)
            if call % 5 == 0:
                pipeline.sync()

        meanwhile(pipeline, change)
        pipeline.drain_device(0)
        assert states(pipeline) == {1: "open"}
        verify(pipeline, model)


def test_stores_go_before_a_drain_when_room_runs_out() -> None:
    with opened() as pipeline:
        model = fill(pipeline, 300)
        pipeline.add_device({"use": "memory", "size": "640KiB"})

        def store(call: int) -> None:
            if call == 5:
                model.update(fill(pipeline, 900, version=1))
                assert states(pipeline) == {0: "open", 1: "open"}

        meanwhile(pipeline, store)
        with pytest.raises(DeviceFull, match="device 0 can not be drained"):
            pipeline.drain_device(0)
        assert slots_on(pipeline, 0)
        verify(pipeline, model)


def test_closing_the_pipeline_ends_a_drain() -> None:
    with opened(synchronous=False) as pipeline:
        fill(pipeline)
        pipeline.add_device(MEMORY)
        closer: list[Elsewhere] = []

        def close(call: int) -> None:
            if call == 3:
                closer.append(Elsewhere(pipeline.close).start())
                while not pipeline._gate.closed:
                    time.sleep(0.001)

        meanwhile(pipeline, close)
        with pytest.raises(PipelineClosed):
            pipeline.drain_device(0)
        assert closer[0].join().error is None
        with pytest.raises(PipelineClosed):
            pipeline.add_device(MEMORY)
        with pytest.raises(PipelineClosed):
            pipeline.devices()


def test_ctrl_c_ends_a_drain_and_nothing_is_lost() -> None:
    with opened(synchronous=False) as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        main = threading.main_thread().ident
        assert main is not None

        def interrupt(call: int) -> None:
            if call == 3:
                signal.pthread_kill(main, signal.SIGINT)

        meanwhile(pipeline, interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.drain_device(0)
        assert states(pipeline) == {0: "open", 1: "open"}
        assert slots_on(pipeline, 0)
        verify(pipeline, model)
        pipeline.drain_device(0)
        verify(pipeline, model)


def test_reading_threads_are_as_many_as_the_devices_gain_by(tmp_path: Path) -> None:
    with opened(synchronous=False, device={"use": "memory", "size": "4MiB"}) as pipeline:
        model = fill(pipeline)
        back = bytearray(PAGE * 400)
        pipeline.load_many(0, back)
        assert pipeline._loads._readers is None  # one at a time
        path = str(tmp_path / "direct.img")
        pipeline.add_device({"use": "nvme", "path": path, "size": "4MiB"})
        pipeline.drain_device(0)
        pipeline.load_many(0, back)
        assert back == b"".join(model.values())
        assert pipeline._loads._width == 8
