"""Writes of a pipeline's device that take long, or for as long as a test wants."""

from __future__ import annotations

import threading
import time

from coldpress import Buffer, Pipeline


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
