"""What a pipeline adds to its compressor: store and load against a bare loop of lz4.block.

    python bench/store_load.py [--pages N] [--rounds N] [--input PATH]... [--json]

One process, one thread, 4 KiB pages of real files (default: the interpreter's own library). In each
round the bare loop, `store`, `store_many`, `load` and `load_many` go over the same pages one after
the other, so that a machine that changes its speed changes it for all; the medians over the rounds
are compared. The pool has room for everything: this is the cost of the tier, not of a device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import lz4.block
from rich.console import Console
from rich.table import Table

import coldpress
from coldpress import slotlist
from coldpress.harness.inputs import read_inputs

PAGE = 4096
BATCH = 64


def bare(pages: list[memoryview]) -> float:
    compress = lz4.block.compress
    begin = time.perf_counter()
    for page in pages:
        compress(page, store_size=False)
    return time.perf_counter() - begin


def bare_back(packed: list[bytes]) -> float:
    decompress = lz4.block.decompress
    begin = time.perf_counter()
    for data in packed:
        decompress(data, uncompressed_size=PAGE)
    return time.perf_counter() - begin


def timed(calls: Callable[[], None]) -> float:
    begin = time.perf_counter()
    calls()
    return time.perf_counter() - begin


def one_round(pages: list[memoryview], buffer: memoryview, packed: list[bytes]) -> dict[str, float]:
    seconds = {"lz4.block compress": bare(pages), "lz4.block decompress": bare_back(packed)}
    shape = {
        "slots": len(pages),
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": 2 * len(buffer) + (1 << 20)},
        "device": {"use": "memory"},
    }
    with coldpress.open(shape) as pipeline:

        def store() -> None:
            for slot, page in enumerate(pages):
                pipeline.store(slot, page)

        def load() -> None:
            for slot in range(len(pages)):
                pipeline.load(slot)

        seconds["store"] = timed(store)
        seconds["load"] = timed(load)
    with coldpress.open(shape) as pipeline:
        back = memoryview(bytearray(BATCH * PAGE))

        def store_many() -> None:
            for slot in range(0, len(pages), BATCH):
                pipeline.store_many(slot, buffer[slot * PAGE : (slot + BATCH) * PAGE])

        def load_many() -> None:
            for slot in range(0, len(pages) - BATCH + 1, BATCH):
                pipeline.load_many(slot, back)

        seconds["store_many"] = timed(store_many)
        seconds["load_many"] = timed(load_many)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input", action="append", default=[], metavar="PATH")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    with read_inputs(args.input, PAGE) as corpus:
        count = min(args.pages, len(corpus)) // BATCH * BATCH
        step = len(corpus) // count  # spread over the whole input
        buffer = memoryview(b"".join(bytes(corpus[i * step]) for i in range(count)))
    pages = [buffer[at : at + PAGE] for at in range(0, len(buffer), PAGE)]
    packed = [lz4.block.compress(page, store_size=False) for page in pages]

    one_round(pages[: 16 * BATCH], buffer[: 16 * BATCH * PAGE], packed[: 16 * BATCH])  # warm up
    rounds = [one_round(pages, buffer, packed) for _ in range(args.rounds)]
    baseline = {"store": "lz4.block compress", "store_many": "lz4.block compress"}
    baseline |= {"load": "lz4.block decompress", "load_many": "lz4.block decompress"}
    rows = []
    for name in rounds[0]:
        seconds = statistics.median(one[name] for one in rounds)
        bare_name = baseline.get(name, name)
        ratios = [one[bare_name] / one[name] for one in rounds]
        rows.append(
            {
                "what": name,
                "pages_per_second": count / seconds,
                "mb_per_second": count * PAGE / seconds / 1e6,
                "of_bare": statistics.median(ratios),
            }
        )
    compiled = not slotlist.__file__.endswith(".py")
    if args.json:
        print(json.dumps({"pages": count, "compiled": compiled, "rows": rows}, indent=2))
        return
    table = Table(title=f"{count} pages of 4 KiB, {'compiled' if compiled else 'plain Python'}")
    table.add_column("")
    for heading in ("pages/s", "MB/s", "of the bare loop"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            str(row["what"]),
            f"{row['pages_per_second']:,.0f}",
            f"{row['mb_per_second']:,.0f}",
            f"{row['of_bare']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
