"""Random histories on a persistent device, crashes, and what may be found after them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from contents import load
from keys import shared_key

from coldpress.config import PipelineConfig, load_config
from coldpress.errors import DeviceError, PoolFull
from coldpress.pipeline import Pipeline
from coldpress.testing.crash import CrashDevice, Loss, Medium
from coldpress.testing.pages import page
from coldpress.testing.shapes import described

SLOTS = 24
KINDS = ("text", "mixed", "random", "zero", "word")

TINY: dict[str, Any] = {
    "slots": SLOTS,
    "compressor": {"use": "lz4"},
    "allocator": {"use": "zsmalloc", "limit": "64KiB", "chain": 2},
    "packer": {"block": "12KiB"},
    "device": {"use": "memory", "size": "200KiB"},
}
SIZE = 200 << 10

Value = bytes | None
Fault = Callable[[Pipeline], None]


@attrs.define
class Step:
    """A call: events of the medium before and after it, what it changed, whether it was a sync."""

    begin: int
    end: int
    changes: dict[int, Value]
    is_sync: bool = False


class Segment:
    """What one pipeline does on a medium, from its opening to its end or a crash.

    `before`: of each slot what may be found as long as the pipeline is not open, one of which is
    `start` then.
    """

    def __init__(
        self,
        rng: random.Random,
        image: bytes | bytearray,
        before: list[set[Value]],
        shape: dict[str, Any],
        fault: Fault | None,
    ) -> None:
        self.rng = rng
        self.medium = Medium(image)
        self.steps: list[Step] = []
        self.before = before
        self.shape = shape
        self.fault = fault
        self.pipeline = self.opened()
        self.begun = self.medium.events
        self.now = contents(self.pipeline)
        self.start = list(self.now)
        for slot, value in enumerate(self.now):
            assert value in before[slot], f"slot {slot} holds what it never held"

    def opened(self) -> Pipeline:
        return open_on(self.medium, self.shape, self.fault)

    def run(self, steps: int, version: Callable[[], int]) -> None:
        flaky = random.Random(self.rng.random()) if self.rng.random() < 0.3 else None
        for _ in range(steps):
            self.medium.flaky = flaky
            begin = self.medium.events
            changes, is_sync = self.step(version)
            self.steps.append(Step(begin, self.medium.events, changes, is_sync))
            for slot, value in changes.items():
                self.now[slot] = value
        self.medium.flaky = None
        self.pipeline._close()

    def step(self, version: Callable[[], int]) -> tuple[dict[int, Value], bool]:
        rng, pipeline = self.rng, self.pipeline
        slot = rng.randrange(SLOTS)
        what = rng.random()
        try:
            if what < 0.45:
                data = page(rng.choice(KINDS), slot, version())
                pipeline.store(slot, data)
                return {slot: data}, False
            if what < 0.55:
                count = 1 << rng.randrange(1, 4)
                slot -= slot % count
                return self.many(slot, count, "text" if rng.random() < 0.7 else "mixed", version())
            if what < 0.75:
                pipeline.invalidate(slot)
                return {slot: None}, False
            if what < 0.90:
                assert load(pipeline, slot) == self.now[slot]
                return {}, False
            if what < 0.97:
                pipeline.sync()
                return {}, True
            self.medium.flaky = None  # an opening that fails would be the end of the history
            pipeline.close()
            self.pipeline = self.opened()
            assert contents(self.pipeline) == self.now
            return {}, True
        except (PoolFull, DeviceError):
            return {}, False

    def many(self, slot: int, count: int, kind: str, version: int) -> tuple[dict[int, Value], bool]:
        data = {one: page(kind, one, version) for one in range(slot, slot + count)}
        self.pipeline.store(slot, b"".join(data.values()))
        return dict(data), False

    def may_hold(self, event: int) -> list[set[Value]]:
        """What each slot may hold if the crash comes during this event."""
        if event < self.begun:
            return self.before
        values = [{value} for value in self.start]
        now = list(self.start)
        for step in self.steps:
            if step.begin > event:
                break
            for slot, value in step.changes.items():
                values[slot].add(value)
                now[slot] = value
            if step.is_sync and step.end <= event:
                values = [{value} for value in now]
        return values


def open_on(medium: Medium, shape: dict[str, Any], fault: Fault | None = None) -> Pipeline:
    pipeline = Pipeline(config_over(medium, shape), synchronous=True)
    if fault is not None:
        fault(pipeline)
    return pipeline


def config_over(medium: Medium, shape: dict[str, Any]) -> PipelineConfig:
    config = load_config(described(TINY, **shape))
    options = {"encrypt": shared_key()} if config.device.encrypt else {}
    return attrs.evolve(config, device=CrashDevice.over(medium, **options))


def contents(pipeline: Pipeline) -> list[Value]:
    return [load(pipeline, slot) for slot in range(SLOTS)]


def shapes(rng: random.Random) -> dict[str, Any]:
    return {
        "packer": {"use": rng.choice(["bounce", "bounce", "zsmalloc", "zspage", "aligned"])},
        "writeback": {"promote": rng.choice(["never", "first", "second"])},
        "cache": {"pages": rng.choice([0, 0, 4])},
    }


def crash(seed: int, points: int, fault: Fault | None = None) -> int:
    """One history with crashes at so many points; how many points were looked at."""
    rng = random.Random(seed)
    versions: Iterator[int] = iter(range(1, 1 << 30))
    image: bytes | bytearray = bytes(SIZE)
    before: list[set[Value]] = [{None} for _ in range(SLOTS)]
    shape = shapes(rng)
    if seed % 4 == 1:
        shape["device"] = {"encrypt": "ephemeral"}
    looked = 0
    while looked < points:
        segment = Segment(rng, image, before, shape, fault)
        segment.run(rng.randrange(10, 60), lambda: next(versions))
        some = min(points - looked, 4)
        for _ in range(some):
            event = rng.randrange(segment.medium.events + 1)
            loss: Loss = rng.choice(["power", "power", "process"])
            image = segment.medium.after_crash(event, loss, rng)
            before = segment.may_hold(event)
            found = open_on(Medium(image), shape, fault)
            for slot, value in enumerate(contents(found)):
                assert value in before[slot], (
                    f"seed {seed}: {loss} lost during event {event} of {segment.medium.events}: "
                    f"slot {slot} holds what it did not hold since the last sync"
                )
            found._close()
            looked += 1
    return looked
