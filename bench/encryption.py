"""What encryption costs: pages to the device and back, with and without it.

    python bench/encryption.py [--pages N] [--rounds N] [--input PATH]... [--device NAME] [--json]

4 KiB pages of real files (default: the interpreter's own library), lz4, a pool that holds some
of them, so that nearly all are written back. In each round an encrypted pipeline and a plain one
store and sync the same pages, then load each of them in random order, one after the other; the
medians over the rounds are compared, and the ratios round by round. On the device `memory`, the
default, there is no I/O to wait for: it is the most that encryption can cost.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time

from rich.console import Console
from rich.table import Table

import coldpress
from coldpress import slotlist
from coldpress.harness.inputs import read_inputs

PAGE = 4096


def one_pipeline(pages: list[bytes], device: str, encrypt: str) -> dict[str, float]:
    """Seconds to store and sync the pages, and to load them."""
    shape = {
        "slots": len(pages),
        "compressor": {"use": "lz4"},
        "allocator": {"limit": max(1 << 20, len(pages) * PAGE // 32)},
        "device": {"use": device, "size": 2 * len(pages) * PAGE + (16 << 20), "encrypt": encrypt},
        "writeback": {"promote": "never"},
    }
    order = random.Random(1).sample(range(len(pages)), len(pages))
    with coldpress.open(shape) as pipeline:
        begin = time.perf_counter()
        for slot, page in enumerate(pages):
            pipeline.store(slot, page)
        pipeline.sync()
        stored = time.perf_counter()
        for slot in order:
            pipeline.load(slot)
        return {"store": stored - begin, "load": time.perf_counter() - stored}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input", action="append", default=[], metavar="PATH")
    parser.add_argument("--device", default="memory")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    with read_inputs(args.input, PAGE) as corpus:
        count = min(args.pages, len(corpus))
        step = len(corpus) // count  # spread over the whole input
        pages = [bytes(corpus[number * step]) for number in range(count)]

    one_pipeline(pages[:1024], args.device, "ephemeral")  # warm up
    rounds = []
    for number in range(args.rounds):
        both = ["", "ephemeral"] if number % 2 else ["ephemeral", ""]
        rounds.append({encrypt: one_pipeline(pages, args.device, encrypt) for encrypt in both})
    rows = []
    for what in ("store", "load"):
        plain = [one[""][what] for one in rounds]
        encrypted = [one["ephemeral"][what] for one in rounds]
        rows.append(
            {
                "what": what,
                "plain_pages_per_second": count / statistics.median(plain),
                "encrypted_pages_per_second": count / statistics.median(encrypted),
                "ratio": statistics.median(a / b for a, b in zip(plain, encrypted, strict=True)),
            }
        )
    compiled = not slotlist.__file__.endswith(".py")
    if args.json:
        print(json.dumps({"pages": count, "compiled": compiled, "rows": rows}, indent=2))
        return
    kind = "compiled" if compiled else "plain Python"
    table = Table(title=f"{count} pages of 4 KiB, device {args.device}, {kind}")
    table.add_column("pages/s")
    for heading in ("plain", "encrypted", "ratio"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            str(row["what"]),
            f"{row['plain_pages_per_second']:,.0f}",
            f"{row['encrypted_pages_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
