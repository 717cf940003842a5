"""What a `sync` writes, against the compressed bytes that have changed since the last one.

    python bench/synccost.py [--input PATH]... [--json]

A persistent pipeline with blocks of 64 KiB, and pages of 4 KiB of real files (default: the
interpreter's own library), numbered so that no two are the same. All that the device is given to
write during the `sync` is counted: objects, records, headers, the rest of the last page. The pool
has room for everything, so nothing has been written before. The device is RAM; no time is measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from coldpress.component import Buffer
from coldpress.config import load_config
from coldpress.harness.inputs import read_inputs
from coldpress.pipeline import Pipeline
from coldpress.testing import CrashDevice, Medium
from coldpress.units import format_size

PAGE = 4096
DIRTY = (1, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20)  # compressed bytes, at least
SIZE = 64 << 20
SHAPE: dict[str, Any] = {
    "slots": 32768,
    "allocator": {"limit": 3 * SIZE},
    "packer": {"use": "bounce", "block": "64KiB"},
    "device": {"use": "memory", "size": SIZE},
}


class Counting(CrashDevice):
    """Counts the bytes that it is given to write."""

    written = 0

    def write(self, offset: int, data: Buffer) -> None:
        self.written += memoryview(data).nbytes
        super().write(offset, data)


def measured(compressor: str, pages: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """A row for each of the sizes."""
    device = Counting.over(Medium(bytes(SIZE)))
    assert isinstance(device, Counting)
    config = load_config({**SHAPE, "compressor": {"use": compressor}})
    with Pipeline(attrs.evolve(config, device=device), synchronous=True) as pipeline:
        slot = 0

        def store() -> None:
            nonlocal slot
            pipeline.store(slot, next(pages))
            slot += 1

        store()
        pipeline.sync()
        for least in DIRTY:
            before, first = pipeline.stats(), slot
            while pipeline.stats().compressed_bytes - before.compressed_bytes < least:
                store()
            assert pipeline.stats().writeback_blocks == before.writeback_blocks
            dirty = pipeline.stats().compressed_bytes - before.compressed_bytes
            count = device.written
            pipeline.sync()
            yield {
                "compressor": compressor,
                "pages": slot - first,
                "dirty_bytes": dirty,
                "written_bytes": device.written - count,
                "blocks": pipeline.stats().writeback_blocks - before.writeback_blocks,
                "ratio": (device.written - count) / dirty,
            }


def numbered(pages: list[bytes]) -> Iterator[bytes]:
    """The pages over and over, no two the same."""
    number = 0
    while True:
        for page in pages:
            number += 1
            yield number.to_bytes(8, "little") + page[8:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", action="append", default=[], metavar="PATH")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with read_inputs(args.input, PAGE) as corpus:
        step = max(1, len(corpus) // 8192)  # spread over the whole input
        pages = [bytes(corpus[n]) for n in range(0, len(corpus), step)]
    rows = [row for name in ("lz4", "zstd") for row in measured(name, numbered(pages))]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("", *("pages", "dirty", "written", "blocks", "written / dirty"))
    for row in rows:
        table.add_row(
            row["compressor"],
            f"{row['pages']:,}",
            format_size(row["dirty_bytes"]),
            format_size(row["written_bytes"]),
            f"{row['blocks']:,}",
            f"{row['ratio']:.3f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
