"""How long one reader's loads take while others store and writeback runs, against an idle pipeline.

    python bench/reader_latency.py [--rounds N] [--seconds S] [--switch-interval MS]... [--json]

One process. A reader loads a page every half millisecond, in turn one that the pool holds and one
that only the device does, while beside it

    idle    nothing else runs;
    stores  four threads store, so that writeback is at work all the time;
    other   they store to another pipeline: all the same work, without this pipeline's lock;
    lz4     they run a bare loop of lz4.block, which lets go of the interpreter's lock each time;
    python  they run Python alone: made to let go of that lock, once in a switch interval.

These take turns in each round, at each switch interval, so that a machine that changes its speed
changes it for all; figures are medians over the rounds. The ratios are the result, not the times.
CPUs are not pinned: `taskset -c 0` before it shows what is left when all threads share one.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, product
from statistics import median
from typing import Any

import lz4.block

import coldpress
from coldpress.harness.errors import InputError
from coldpress.harness.inputs import read_inputs
from coldpress.harness.interrupt import Interrupt

PAGE, PAGES, THREADS, POOL = 4096, 8192, 4, 16 << 20
HOT = range(8)  # few, so that the reader touches each before the stores have turned the pool over
COLD = range(8, 2056)  # stored first and never promoted, so they are on the device
SLOTS = range(2056, 34_824)  # the threads store these, which are several times what the pool holds
PAUSE, WARM_UP = 0.0005, 0.05  # seconds
SOURCES, FIGURES = ("pool", "device"), ("p50_us", "p99_us", "max_us")
Work = Callable[[int], object]


class Tier:
    """A pipeline that was filled to several times its pool."""

    def __init__(self, pages: list[bytes], device: str) -> None:
        self.pages = pages
        shape = {  # lru and bounce, as they are the default
            "slots": SLOTS.stop,
            "compressor": {"use": "lz4"},
            "allocator": {"use": "zsmalloc", "limit": POOL},
            "device": {"use": device, "size": "1GiB"},  # file: a temporary one without a name
            "writeback": {"promote": "never"},
        }
        self.pipeline = coldpress.open(shape)
        # The device tells which of the reader's loads came to it; the cleaner reads, too.
        self.reads, reader, read = 0, threading.get_ident(), self.pipeline.config.device.read_into

        def read_into(offset: int, buffer: memoryview) -> None:
            self.reads += threading.get_ident() == reader
            read(offset, buffer)

        self.pipeline.config.device.read_into = read_into  # type: ignore[method-assign]
        for slot in (*COLD, *SLOTS):
            self.store(slot)

    def store(self, slot: int) -> None:
        self.pipeline.store(slot, self.pages[slot % len(self.pages)])

    def read(self, seconds: float, stop: Interrupt) -> dict[str, dict[str, float]]:
        """The loads' figures in microseconds, by who served them."""
        load, clock = self.pipeline.load, time.perf_counter
        times: dict[str, list[float]] = {source: [] for source in SOURCES}
        slots = cycle(slot for pair in zip(cycle(HOT), COLD, strict=False) for slot in pair)
        for slot in HOT:
            self.store(slot)
        time.sleep(WARM_UP)
        refaults, end = self.pipeline.stats().refaults, clock() + seconds
        while clock() < end:
            time.sleep(PAUSE)
            if stop():
                raise KeyboardInterrupt
            slot = next(slots)
            reads, begun = self.reads, clock()
            load(slot)
            took = clock() - begun
            times[SOURCES[self.reads > reads]].append(took * 1e6)
            if self.reads > reads and slot in HOT:
                self.store(slot)  # it was pushed out while the reader waited
        refaults = self.pipeline.stats().refaults - refaults
        if refaults != len(times["device"]) or not all(times.values()):
            raise InputError("too few loads of both kinds, in the time or with this input")
        return {source: figures(sorted(taken)) for source, taken in times.items()}


def figures(times: list[float]) -> dict[str, float]:
    values = (len(times), times[len(times) // 2], times[len(times) * 99 // 100], times[-1])
    return dict(zip(("loads", *FIGURES), values, strict=True))


@contextmanager
def beside(work: Work | None) -> Iterator[None]:
    """Inside, four threads do this to one slot after the other, each to its own."""
    stop = threading.Event()

    def run(own: range) -> None:
        for slot in cycle(own):
            if work is None or stop.is_set():
                return
            work(slot)

    with ThreadPoolExecutor(THREADS) as threads:
        running = [threads.submit(run, SLOTS[n::THREADS]) for n in range(THREADS)]
        try:
            yield
        finally:
            stop.set()
    for one in running:
        one.result()


def measure(args: argparse.Namespace, stop: Interrupt) -> list[dict[str, Any]]:
    """One row for each switch interval, source of the page and what runs beside."""
    with read_inputs(args.input, PAGE) as corpus:
        step = max(len(corpus) // PAGES, 1)  # spread over the whole input
        pages = [bytes(corpus[at]) for at in range(0, len(corpus), step)]
    pages = [page for page in pages if page != page[:8] * (PAGE // 8)]  # same-filled: in no pool
    if not pages:
        raise InputError("all pages are same-filled")
    rounds, tier, other = [], Tier(pages, args.device), Tier(pages, args.device)
    works: dict[str, Work | None] = {
        "idle": None,
        "stores": tier.store,
        "other": other.store,
        "lz4": lambda slot: lz4.block.compress(pages[slot % len(pages)], store_size=False),
        "python": lambda slot: sum(n for n in range(500)),
    }
    with tier.pipeline, other.pipeline:
        for _ in range(args.rounds):
            one = {}
            for interval, what in product(args.switch_interval, works):
                sys.setswitchinterval(interval / 1000)
                written = tier.pipeline.stats().written_back_pages
                with beside(works[what]):
                    one[interval, what] = tier.read(args.seconds, stop)
                if what == "stores" and tier.pipeline.stats().written_back_pages == written:
                    raise InputError("writeback had no work: the input compresses too well")
            rounds.append(one)
    rows = []
    for interval, source, what in product(args.switch_interval, SOURCES, works):
        row = {"switch_interval_ms": interval, "from": source, "beside": what}
        taken = [(one[interval, what][source], one[interval, "idle"][source]) for one in rounds]
        row |= {name: median(here[name] for here, _ in taken) for name in ("loads", *FIGURES)}
        row |= {f"{f}_of_idle": median(here[f] / idle[f] for here, idle in taken) for f in FIGURES}
        rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each turn (0.7)")
    parser.add_argument("--switch-interval", type=float, action="append", help="ms (5 and 0.5)")
    parser.add_argument("--device", choices=("file", "memory"), default="file")
    parser.add_argument("--input", action="append", default=[], metavar="PATH")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.switch_interval = list(dict.fromkeys(args.switch_interval or (5.0, 0.5)))
    if not all(0 < one < 1e6 for one in (args.rounds, args.seconds, *args.switch_interval)):
        parser.error("--rounds, --seconds and --switch-interval must be above 0")
    try:
        with Interrupt() as stop:
            rows = measure(args, stop)
    except KeyboardInterrupt:
        print("reader_latency: interrupted", file=sys.stderr)
        return 130
    except (coldpress.ColdpressError, OSError, MemoryError) as error:
        print(f"reader_latency: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    compiled = not coldpress.slotlist.__file__.endswith(".py")
    if args.json:
        print(json.dumps({"device": args.device, "compiled": compiled, "rows": rows}, indent=2))
        return 0
    print(f"{args.device}, {'compiled' if compiled else 'plain Python'}; x: times what it is idle")
    line = "{:>6}  {:6}  {:6} {:>7} {:>8} {:>8} {:>9} {:>6} {:>6} {:>6}"
    print(line.format("ms", "from", "beside", "loads", *(*FIGURES, "p50 x", "p99 x", "max x")))
    for row in rows:
        print(line.format(*(f"{v:,.1f}" if isinstance(v, float) else v for v in row.values())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
