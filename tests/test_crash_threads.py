"""Crashes of a persistent device under several threads, with writeback in the background."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any

import attrs
import pytest
from crashes import SIZE, SLOTS, config_over, contents, open_on

from coldpress import tombstones
from coldpress.errors import DeviceError, PoolFull
from coldpress.pipeline import Pipeline
from coldpress.testing.crash import Loss, Medium
from coldpress.testing.pages import page

THREADS = 3
KINDS = ("text", "mixed", "random", "zero", "word")


@attrs.define
class Call:
    """One change of some slots, or a sync: ticks and the medium's events around it."""

    begun: int
    began_at: int
    ended: int = 0
    ended_at: int = 0
    changes: dict[int, bytes | None] = attrs.field(factory=dict)


class Run:
    """Threads that each change slots of their own, and one that syncs."""

    def __init__(self, seed: int, shape: dict[str, Any]) -> None:
        self.medium = Medium(bytes(SIZE))
        self.pipeline = Pipeline(config_over(self.medium, shape))
        self.ticks = itertools.count()
        self.changes: list[Call] = []
        self.syncs: list[Call] = []
        self.failures: list[BaseException] = []
        stop = threading.Event()
        threads = [
            threading.Thread(target=self.change, args=(random.Random(seed + n), n))
            for n in range(THREADS)
        ]
        syncer = threading.Thread(target=self.sync, args=(stop,))
        for thread in [*threads, syncer]:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        syncer.join()
        self.pipeline._close()
        assert not self.failures, self.failures

    def call(self) -> Call:
        return Call(next(self.ticks), self.medium.events)

    def change(self, rng: random.Random, number: int) -> None:
        # Eight slots for each, so that folios are all one thread's.
        try:
            for version in range(150):
                slot, what = 8 * number + rng.randrange(8), rng.random()
                call = self.call()
                try:
                    if what < 0.5:
                        data = page(rng.choice(KINDS), slot, version)
                        call.changes = {slot: data}
                        self.changes.append(call)
                        self.pipeline.store(slot, data)
                    elif what < 0.65:
                        slot &= ~3
                        pages = [page("text", slot + n, version) for n in range(4)]
                        call.changes = {slot + n: one for n, one in enumerate(pages)}
                        self.changes.append(call)
                        self.pipeline.store(slot, b"".join(pages))
                    elif what < 0.85:
                        call.changes = {slot: None}
                        self.changes.append(call)
                        self.pipeline.invalidate(slot)
                    else:
                        contents(self.pipeline)
                        continue
                except (PoolFull, DeviceError):
                    self.changes.remove(call)
                    continue
                call.ended = next(self.ticks)
        except BaseException as error:
            self.failures.append(error)

    def sync(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                call = self.call()
                try:
                    self.pipeline.sync()
                except (PoolFull, DeviceError):
                    continue
                call.ended_at = self.medium.events
                self.syncs.append(call)
        except BaseException as error:
            self.failures.append(error)

    def may_hold(self, event: int) -> list[set[bytes | None]]:
        """What each slot may hold after a crash during this event."""
        acknowledged = [one.begun for one in self.syncs if one.ended_at <= event]
        since = max(acknowledged, default=-1)
        values: list[set[bytes | None]] = [{None} for _ in range(SLOTS)]
        for call in self.changes:  # of each slot in order: it is one thread's
            if call.began_at > event:
                continue
            for slot, value in call.changes.items():
                if call.ended < since:
                    values[slot] = {value}
                else:
                    values[slot].add(value)
        return values


@pytest.mark.parametrize("seed", range(4))
def test_what_a_sync_acknowledged_is_there(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "SHARE", 1 << 20)
    rng = random.Random(seed)
    shape = {
        "packer": {"use": ("bounce", "zsmalloc", "zspage", "aligned")[seed]},
        "writeback": {"promote": rng.choice(["never", "first", "second"])},
        "cache": {"pages": 4 * (seed % 2)},
        "device": {"encrypt": "ephemeral" if seed > 1 else ""},
    }
    run = Run(seed, shape)
    assert run.syncs
    for _ in range(25):
        event = rng.randrange(run.medium.events + 1)
        loss: Loss = rng.choice(["power", "process"])
        image = run.medium.after_crash(event, loss, rng)
        found = open_on(Medium(image), shape)
        allowed = run.may_hold(event)
        for slot, value in enumerate(contents(found)):
            assert value in allowed[slot], (seed, loss, event, run.medium.events, slot)
        found._close()
