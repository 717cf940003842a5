"""Writes of a pipeline's device that fail, take long, or as long as a test wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from device_sets import before_each, member

from coldpress import Buffer, DeviceError, DeviceFull, Pipeline


def slow_writes(pipeline: Pipeline, seconds: float) -> None:
    """Keep every block in flight for a while, so that slots change meanwhile."""
    write = pipeline.config.device.write

    def slow(offset: int, data: Buffer) -> None:
        time.sleep(seconds)
        write(offset, data)

    pipeline.config.device.write = slow  # type: ignore[method-assign]


def held_writes(pipeline: Pipeline) -> tuple[threading.Event, threading.Event]:
    """From now on every block stays in flight until the second event is set; the first: one is."""
    begun, go = threading.Event(), threading.Event()
    write = pipeline.config.device.write

    def held(offset: int, data: Buffer) -> None:
        begun.set()
        assert go.wait(60)
        write(offset, data)

    pipeline.config.device.write = held  # type: ignore[method-assign]
    return begun, go


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
