"""What folios of several pages save and cost, against the same pages stored one by one.

    python bench/folios.py [--pages N] [--rounds N] [--input PATH]... [--json]

One process, one thread, 4 KiB pages of real files (default: the interpreter's own library), a pool
that has room for all of them. For each compressor and order: bytes of the pages to compressed
bytes, and the time of storing all pages, of loading single ones at random, and of loading all in
runs, as ratios to order 0 in the same round; medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

import coldpress
from coldpress.folio import MAX_ORDER, MAX_PAGES
from coldpress.harness.inputs import read_inputs

PAGE = 4096
COMPRESSORS = ({"use": "lz4"}, {"use": "zstd", "level": 1})


def timed(calls: Callable[[], None]) -> float:
    begin = time.perf_counter()
    calls()
    return time.perf_counter() - begin


def one_run(compressor: dict[str, Any], order: int, buffer: memoryview) -> dict[str, float]:
    count, pages = len(buffer) // PAGE, 1 << order
    shape = {
        "slots": count,
        "compressor": compressor,
        "allocator": {"use": "zsmalloc", "limit": 2 * len(buffer) + (1 << 20)},
        # Folios are one object up to half a block: here, all that shrink by a half.
        "packer": {"use": "bounce", "block": "64KiB"},
        "device": {"use": "memory"},
    }
    slots = random.Random(1).sample(range(count), count // 4)
    run = memoryview(bytearray(MAX_PAGES * PAGE))
    with coldpress.open(shape) as pipeline:

        def store() -> None:
            for slot in range(0, count, pages):
                pipeline.store(slot, buffer[slot * PAGE : (slot + pages) * PAGE])

        def load() -> None:
            for slot in slots:
                pipeline.load(slot)

        def load_many() -> None:
            for slot in range(0, count, MAX_PAGES):
                pipeline.load_many(slot, run)

        seconds = {"store": timed(store), "load": timed(load), "load_many": timed(load_many)}
        stats = pipeline.stats()
        return {
            **seconds,
            "ratio": len(buffer) / stats.compressed_bytes,
            "pool_ratio": len(buffer) / stats.pool_bytes,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--input", action="append", default=[], metavar="PATH")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    with read_inputs(args.input, PAGE) as corpus:
        count = min(args.pages, len(corpus)) // MAX_PAGES * MAX_PAGES
        first = (len(corpus) - count) // 2  # neighbours stay neighbours
        buffer = memoryview(bytes(corpus.run(first, count)))
    rows = []
    for compressor in COMPRESSORS:
        rounds = [
            [one_run(compressor, order, buffer) for order in range(MAX_ORDER + 1)]
            for _ in range(args.rounds)
        ]
        for order in range(MAX_ORDER + 1):
            row: dict[str, Any] = {"compressor": compressor["use"], "pages": 1 << order}
            for what in ("ratio", "pool_ratio"):
                row[what] = statistics.median(one[order][what] for one in rounds)
            for what in ("store", "load", "load_many"):
                ratios = [one[order][what] / one[0][what] for one in rounds]
                row[f"{what}_time"] = statistics.median(ratios)
            rows.append(row)
    if args.json:
        print(json.dumps({"pages": count, "rows": rows}, indent=2))
        return
    table = Table(title=f"{count} pages of 4 KiB; times: one by one = 1")
    for heading in ("", "pages", "ratio", "in the pool", "store", "load one", "load all"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        times = (f"{row[f'{what}_time']:.2f}" for what in ("store", "load", "load_many"))
        ratios = (f"{row[what]:.2f}" for what in ("ratio", "pool_ratio"))
        table.add_row(row["compressor"], str(row["pages"]), *ratios, *times)
    Console().print(table)


if __name__ == "__main__":
    main()
