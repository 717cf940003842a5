"""Drains while something else goes on: loads, stores, other drains, a closing pipeline, Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from device_sets import (
    MEMORY,
    Elsewhere,
    before_each,
    fill,
    member,
    opened,
    slots_on,
    states,
    verify,
)

from coldpress import (
    ConfigError,
    DeviceFull,
    Pipeline,
    PipelineClosed,
)
from coldpress.drain import Drain
from coldpress.opendevice import OpenDevice
from coldpress.testing.pages import PAGE, page


def held_load(
    pipeline: Pipeline, slot: int, before: str = "read_into"
) -> tuple[Elsewhere, threading.Event]:
    """A load that goes on only when the event is set: to look for the device, or to read it."""
    begun, go = threading.Event(), threading.Event()

    def held(*_: Any) -> None:
        if threading.current_thread() is load.thread:
            begun.set()
            assert go.wait(60)

    if before == "decode":
        device_type = pipeline._entries.device_type
        decode = device_type.decode
        device_type.decode = lambda one: (held(), decode(one))[1]  # type: ignore[method-assign]
    else:
        before_each(member(pipeline, 0).device, before, held)
    load = Elsewhere(lambda: pipeline.load(slot))
    load.start()
    assert begun.wait(60)
    return load, go


@pytest.mark.parametrize("use", ["memory", "file", "nvme"])
@pytest.mark.parametrize("reuse", [False, True], ids=["gone", "reused"])
@pytest.mark.parametrize("before", ["decode", "read_into"])
def test_a_load_begun_before_its_device_was_closed_finds_the_page(
    use: str, reuse: bool, before: str, tmp_path: Path
) -> None:
    path = {} if use == "memory" else {"path": str(tmp_path / "cold.img")}
    with opened(device={"use": use, **path}) as pipeline:
        model = fill(pipeline)
        slot = slots_on(pipeline, 0)[-1]
        load, go = held_load(pipeline, slot, before)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        if reuse:  # another, smaller device has the old one's offsets
            small = {"use": "nvme", "path": str(tmp_path / "small.img"), "size": "128KiB"}
            pipeline.add_device(small)
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

        begin = pipeline._devices._begin_drain
        stops: list[threading.Event] = []

        def interrupt(call: int) -> None:
            if call == 3:
                signal.pthread_kill(main, signal.SIGINT)
                assert stops[0].wait(60)

        def begun(one: OpenDevice, stop: threading.Event) -> Drain:
            stops.append(stop)
            return begin(one, stop)

        pipeline._devices._begin_drain = begun

        meanwhile(pipeline, interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.drain_device(0)
        assert states(pipeline) == {0: "open", 1: "open"}
        assert slots_on(pipeline, 0)
        verify(pipeline, model)
        pipeline.drain_device(0)
        verify(pipeline, model)


def test_a_device_that_was_drained_itself_need_not_be_flushed() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        pipeline.add_device(MEMORY)
        pipeline.add_device(MEMORY)
        device = member(pipeline, 1).device
        flush = device.flush

        def drained_meanwhile() -> None:
            device.flush = flush  # type: ignore[method-assign]
            pipeline.drain_device(1)
            flush()  # "device is closed"

        device.flush = drained_meanwhile  # type: ignore[method-assign]
        pipeline.drain_device(0)
        assert states(pipeline) == {2: "open"}
        verify(pipeline, model)


def test_reading_threads_are_as_many_as_the_devices_gain_by(tmp_path: Path) -> None:
    with opened(synchronous=False) as pipeline:
        model = fill(pipeline)
        back = bytearray(PAGE * 400)
        pipeline.load_many(0, back)
        assert pipeline._loads._readers is None  # one at a time
        pipeline.config.device.queue_depth = 2  # type: ignore[misc]
        pipeline.load_many(0, back)
        assert pipeline._loads._width == 2
        path = str(tmp_path / "direct.img")
        pipeline.add_device({"use": "nvme", "path": path, "size": "4MiB"})
        pipeline.drain_device(0)
        most, reading, lock = 0, 0, threading.Lock()
        device = member(pipeline, 1).device
        read = device.read_into

        def counted(offset: int, buffer: memoryview) -> None:
            nonlocal most, reading
            with lock:
                reading += 1
                most = max(most, reading)
            time.sleep(0.001)
            read(offset, buffer)
            with lock:
                reading -= 1

        device.read_into = counted  # type: ignore[method-assign]
        pipeline.load_many(0, back)
        assert back == b"".join(model.values())
        assert 2 < most <= device.queue_depth == 8
