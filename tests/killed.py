"""A process that stores pages in a persistent file until it is killed: see test_kill.py.

It tells on its output, a line each, what it begins and what has returned.
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any

import coldpress
from coldpress.testing.pages import page

SLOTS = 256
KINDS = ("text", "mixed", "random", "zero", "word")


def shape(path: str) -> dict[str, Any]:
    return {
        "slots": SLOTS,
        "compressor": {"use": "lz4"},
        "allocator": {"limit": "192KiB"},
        "packer": {"block": "16KiB"},
        "device": {"use": "file", "path": path, "size": "2MiB", "persistent": True},
        "writeback": {"promote": "first"},
    }


def value(slot: int, version: int) -> bytes:
    return page(KINDS[version % len(KINDS)], slot, version)


def main() -> None:
    path, seed = sys.argv[1], int(sys.argv[2])
    rng = random.Random(seed)
    version = seed * 100_000
    pipeline = coldpress.open(shape(path))
    print("open", flush=True)
    while True:
        slot, what = rng.randrange(SLOTS), rng.random()
        version += 1
        if what < 0.6:
            print("store", slot, version, flush=True)
            pipeline.store(slot, value(slot, version))
        elif what < 0.8:
            print("empty", slot, flush=True)
            pipeline.invalidate(slot)
        elif what < 0.97:
            with contextlib.suppress(coldpress.SlotEmpty):
                pipeline.load(slot)
        else:
            pipeline.sync()
            print("synced", flush=True)


if __name__ == "__main__":
    main()
