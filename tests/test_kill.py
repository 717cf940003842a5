"""kill -9 of a process that writes to a real file: what `sync` acknowledged is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import killed
from killed import SLOTS, shape, value
from once import on_one_python

import coldpress

pytestmark = on_one_python

ROUNDS = int(os.environ.get("COLDPRESS_KILLS", "10"))


def test_a_killed_process_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    path = str(tmp_path / "cold.img")
    rng = random.Random(1)
    may_hold: list[set[bytes | None]] = [{None} for _ in range(SLOTS)]
    synced = 0
    for number in range(ROUNDS):
        journal = run(path, number, rng.uniform(0.05, 0.5))
        synced += journal.count("synced")
        replay(journal, may_hold)
        with coldpress.open(shape(path)) as pipeline:
            for slot in range(SLOTS):
                try:
                    found: bytes | None = pipeline.load(slot)
                except coldpress.SlotEmpty:
                    found = None
                assert found in may_hold[slot], f"round {number}, slot {slot}"
                may_hold[slot] = {found}
    assert synced > ROUNDS


def run(path: str, seed: int, seconds: float) -> list[str]:
    """Start the process, kill it after so long, and return what it told: whole lines."""
    with subprocess.Popen(
        [sys.executable, killed.__file__, path, str(seed)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        # Read by now and then, or it would wait for a full pipe.
        os.set_blocking(process.stdout.fileno(), False)
        told = b""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            told += process.stdout.read() or b""
            time.sleep(0.005)
        process.kill()
        process.wait()
        os.set_blocking(process.stdout.fileno(), True)
        told += process.stdout.read() or b""
    return told.decode().split("\n")[:-1]


def replay(journal: list[str], may_hold: list[set[bytes | None]]) -> None:
    """What each slot may hold after what was told, if it could hold `may_hold` before."""
    last: dict[int, bytes | None] = {}  # since the last sync
    for line in journal:
        match line.split():
            case ["store", slot, version]:
                may_hold[int(slot)].add(value(int(slot), int(version)))
                last[int(slot)] = value(int(slot), int(version))
            case ["empty", slot]:
                may_hold[int(slot)].add(None)
                last[int(slot)] = None
            case ["synced"]:
                for slot_, held in last.items():
                    may_hold[slot_] = {held}
                last.clear()
