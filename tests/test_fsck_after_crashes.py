"""What a repair makes of what a crash has left: nothing older, and nothing that was gone for good.

By hand, for more of it: COLDPRESS_CRASHES=1000 pytest tests/test_fsck_after_crashes.py
"""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from crashes import SIZE, SLOTS, Segment, Value, contents, open_on, shapes
from keys import shared_key
from once import on_one_python
from verdicts import Capture, fsck, kinds

from coldpress import tombstones
from coldpress.testing import crash
from coldpress.testing.crash import SECTOR, Loss, Medium
from coldpress.testing.pages import PAGE, page

HISTORIES = int(os.environ.get("COLDPRESS_CRASHES", "100"))
POINTS = 4  # crashes of each

May = list[set[Value]]


class Later(Segment):
    """What comes after a crash: all that seems empty is emptied, and some of the rest stored."""

    def step(self, version: Any) -> tuple[dict[int, Value], bool]:
        rng = self.rng
        if rng.random() < 0.1:
            self.pipeline.sync()
            return {}, True
        empty = [slot for slot, value in enumerate(self.now) if value is None]
        if empty and rng.random() < 0.7:
            changes: dict[int, Value] = dict.fromkeys(empty)
            for slot in empty:
                self.pipeline.invalidate(slot)
            return changes, False
        slot = rng.randrange(SLOTS)
        data = page(rng.choice(["text", "random"]), slot, version())
        self.pipeline.store(slot, data)
        return {slot: data}, False


@on_one_python
def test_no_repair_brings_anything_older_or_gone_back(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstones, "SHARE", 1 << 20)  # they are dropped at every chance
    seen: Counter[str] = Counter()
    for seed in range(HISTORIES):
        # What is lost as a whole is a sector, or, of most disks, a page: so first pages are often.
        monkeypatch.setattr(crash, "SECTOR", PAGE if seed % 4 else SECTOR)
        History(seed, tmp_path / "cold.img", capsys, seen).run()
    assert seen["wiped"]
    assert seen["remains"]
    assert seen["dead"]
    assert not seen["object"]  # no crash loses a page that was durable


class History:
    """One of a pipeline that crashes, and what it is repaired to at some points."""

    def __init__(self, seed: int, path: Path, capsys: Capture, seen: Counter[str]) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.path = path
        self.capsys = capsys
        self.seen = seen
        self.versions = count(1)
        self.shape = shapes(self.rng)
        self.key: tuple[str, ...] = ()
        if seed % 8 == 2:
            self.shape["device"] = {"encrypt": "ephemeral"}
            self.key = ("--key", shared_key())

    def run(self) -> None:
        rng = self.rng
        first = Segment(rng, bytes(SIZE), [{None} for _ in range(SLOTS)], self.shape, None)
        first.run(rng.randrange(20, 60), lambda: next(self.versions))
        for _ in range(POINTS):
            image, may = self.crashed(first)
            if rng.random() < 0.5:
                later = Later(rng, image, may, self.shape, None)
                later.run(rng.randrange(2, 12), lambda: next(self.versions))
                image, may = self.crashed(later)
            self.repaired(image, may)

    def crashed(self, segment: Segment) -> tuple[bytearray, May]:
        event = self.rng.randrange(segment.begun, segment.medium.events + 1)
        loss: Loss = self.rng.choice(["power", "power", "process"])
        return segment.medium.after_crash(event, loss, self.rng), segment.may_hold(event)

    def repaired(self, image: bytearray, may: May) -> None:
        self.path.write_bytes(image)
        _, found = fsck(self.path, self.capsys, "--repair", *self.key)
        self.seen.update(kinds(found))
        if found["repaired"]:
            again = fsck(self.path, self.capsys, *self.key)[1]
            assert again["findings"] == [], f"seed {self.seed}"
        pipeline = open_on(Medium(self.path.read_bytes()), self.shape)
        for slot, value in enumerate(contents(pipeline)):
            assert value in may[slot], f"seed {self.seed}: slot {slot} holds what was gone"
        pipeline._close()
