"""Pipelines and pages for threads that race with writeback and cleaner."""

from __future__ import annotations

import random
import sys
from typing import Any

import lz4.block
from writes import slow_writes

import coldpress
from coldpress.testing.pages import PAGE
from coldpress.testing.shapes import described
from coldpress.testing.threads import stamped_page, stress


def noise_page(slot: int, version: int) -> bytes:
    """A page that does not shrink: all of its objects are of one length."""
    body = random.Random(slot << 32 | version).randbytes(PAGE)
    return (slot.to_bytes(8, "little") + version.to_bytes(8, "little") + body)[:PAGE]


def shape(slots: int, **tables: Any) -> dict[str, Any]:
    """A pool of about 2 % and a device of 1.3 times what the pages of `slots` take, packed."""
    packed = slots * (len(compressed(1)) + 48)
    base: dict[str, Any] = {
        "slots": slots,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": max(slots * PAGE // 50, 512 << 10)},
        "packer": {"use": "bounce", "block": "32KiB"},
        "device": {"use": "memory", "size": int(packed * 1.3) + (4 << 15)},
        "writeback": {"promote": "first"},
    }
    return described(base, **tables)


def compressed(slot: int) -> bytes:
    """The first version of a slot's page, compressed."""
    data: bytes = lz4.block.compress(stamped_page(slot, 1), store_size=False)
    return data


def main() -> None:
    """What takes longer than a test may: `python tests/stress.py SECONDS`."""
    slots = 20_000
    with coldpress.open(shape(slots)) as pipeline:
        slow_writes(pipeline, 0.001)
        report = stress(pipeline, slots, float(sys.argv[1]), folios=0.02)
        stats = pipeline.stats()
        print(f"{report.operations} operations, {len(report.wrong)} wrong: {report.wrong[:5]}")
        print(f"{len(report.errors)} errors: {report.errors[:5]}")
        print(f"{stats.refaults} refaults, {stats.cleaned_blocks} cleaned blocks")
        print(f"{pipeline._writeback.counters.lost_races} lost publish races")


if __name__ == "__main__":
    main()


if __name__ == "__main__":
    main()
