"""Pipelines with several devices, and what must be true of each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from contents import holds

from coldpress import DeviceError, Pipeline
from coldpress.config import load_config
from coldpress.opendevice import OpenDevice
from coldpress.testing.pages import page
from coldpress.testing.shapes import described

COUNT = 400
BLOCK = 16384
MEMORY = {"use": "memory", "size": "4MiB"}
SMALL = {"use": "memory", "size": 2 * 4096 + 24 * BLOCK}


def opened(*, synchronous: bool = True, **tables: Any) -> Pipeline:
    base: dict[str, Any] = {
        "slots": 1024,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": "256KiB"},
        "packer": {"use": "bounce", "block": "16KiB"},
        "device": MEMORY,
        "writeback": {"promote": "never"},
    }
    return Pipeline(load_config(described(base, **tables)), synchronous=synchronous)


def fill(pipeline: Pipeline, count: int = COUNT, *, version: int = 0) -> dict[int, bytes]:
    """Store so many pages, most of which go to the device; what was stored."""
    model = {slot: page("mixed", slot, version) for slot in range(count)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    return model


def verify(pipeline: Pipeline, model: dict[int, bytes]) -> None:
    """Every slot has what it was given last, and every device as many live bytes as slots say."""
    with pipeline._gate.lock:
        check_live(pipeline)
    holds(pipeline, model)


def check_live(pipeline: Pipeline) -> None:
    """Under the pipeline's lock, or while nothing else goes on."""
    entries, slots = pipeline._entries, range(pipeline.config.slots)
    for one in pipeline._store.space.members:
        lengths = {at: length for _, at, length in entries.within(slots, one.base, one.end)}
        assert sum(lengths.values()) == one.space.live_bytes, one.number
        in_use = [block for block in one.space.used if one.space.live(block)]
        assert sum(map(one.space.live, in_use)) == one.space.live_bytes, one.number
        assert len(in_use) + one.writing == one.space.in_use, one.number
        assert not one.writing or pipeline._backpressure.unlocked, one.number


def member(pipeline: Pipeline, number: int) -> OpenDevice:
    (one,) = (one for one in pipeline._store.space.members if one.number == number)
    return one


def slots_on(pipeline: Pipeline, number: int) -> list[int]:
    """The slots whose object, or its clean copy, is on this device."""
    one, entries = member(pipeline, number), pipeline._entries
    slots = range(entries.table.slots)
    return [slot for slot, _, _ in entries.within(slots, one.base, one.end)]


def before_each(device: Any, call: str, hook: Callable[[int], None]) -> Callable[..., None]:
    """From now on `hook` is called with the offset before each `call` of the device; the call."""
    real: Callable[..., None] = getattr(device, call)

    def hooked(offset: int, data: Any) -> None:
        hook(offset)
        real(offset, data)

    setattr(device, call, hooked)
    return real


def states(pipeline: Pipeline) -> dict[int, str]:
    """The state of each device, by its number."""
    return {one.number: one.state for one in pipeline.devices()}


def broken(offset: int) -> None:
    """A hook for `before_each`."""
    raise DeviceError("Input/output error")


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
