"""Threads that store, load and invalidate at random, every page carrying its slot and version."""

from __future__ import annotations

import faulthandler
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import attrs

from coldpress.errors import SlotEmpty
from coldpress.folio import MAX_PAGES
from coldpress.pipeline import Pipeline
from coldpress.testing.pages import PAGE

if TYPE_CHECKING:
    from _typeshed import TraceFunction

THREADS = 4
_PATIENCE = 60.0  # seconds in which what a run is about must have happened
_STOPS = 0.03  # of all lines: after these another thread runs
_LINES = [b"%032x" % (n * 2654435761 % 2**64) for n in range(256)]


def stamped_page(slot: int, version: int) -> bytes:
    """A page of about a third of its size when compressed, that says whose it is."""
    rng = random.Random(slot << 32 | version)
    body = rng.randbytes(PAGE // 4) + b"".join(rng.choices(_LINES, k=PAGE * 3 // 4 // 32))
    return (slot.to_bytes(8, "little") + version.to_bytes(8, "little") + body)[:PAGE]


@attrs.define
class Report:
    """What the threads saw."""

    operations: int = 0
    wrong: list[str] = attrs.field(factory=list)
    errors: list[BaseException] = attrs.field(factory=list)
    latencies: list[float] = attrs.field(factory=list)


def stress(
    pipeline: Pipeline,
    slots: int,
    seconds: float,
    *,
    seed: int = 1,
    page: Callable[[int, int], bytes] = stamped_page,
    folios: float = 0.0,
    enough: Callable[[], bool] = lambda: True,
) -> Report:
    """Drive the pipeline from THREADS threads, each with the slots that are its own.

    `folios` is the share of the stores that are of 2 to 16 pages. After `seconds` the threads go
    on until `enough` says that what the run is about has happened, but not for ever: on a busy
    machine a time alone says little about how much was done in it.
    """
    report = Report()
    ended = time.monotonic() + seconds
    hung = seconds + 2 * _PATIENCE
    faulthandler.dump_traceback_later(hung, exit=True, file=2)  # the watchdog

    def is_on() -> bool:
        over = time.monotonic() - ended
        return over < 0 or (over < _PATIENCE and not enough())

    def work(number: int) -> None:
        rng = random.Random(seed * 1000 + number)
        mine = [slot for slot in range(slots // 16 * 16) if slot // MAX_PAGES % THREADS == number]
        held: dict[int, int] = {}
        version = 0

        def check(slot: int) -> None:
            try:
                data = pipeline.load(slot)
            except SlotEmpty:
                if slot in held:
                    report.wrong.append(f"slot {slot} lost version {held[slot]}")
                return
            got = int.from_bytes(data[8:16], "little")
            if held.get(slot) != got or data != page(slot, got):
                report.wrong.append(f"slot {slot}: version {got}, wanted {held.get(slot)}")

        try:
            while is_on() and not report.errors:
                for _ in range(64):
                    slot = mine[int(rng.random() ** 2 * len(mine))]
                    what = rng.random()
                    if what < 0.45:
                        version += 1
                        if what < 0.15:  # the store may get the very handle that this frees
                            pipeline.invalidate(slot)
                        if folios and rng.random() < folios:
                            pages = 2 << rng.randrange(4)
                            several = range(slot - slot % pages, slot - slot % pages + pages)
                            pipeline.store(several[0], b"".join(page(s, version) for s in several))
                            held.update(dict.fromkeys(several, version))
                        else:
                            pipeline.store(slot, page(slot, version))
                            held[slot] = version
                    elif what < 0.48:
                        pipeline.invalidate(slot)
                        held.pop(slot, None)
                    else:
                        check(slot)
                report.operations += 64
            for slot in mine:
                check(slot)
        except BaseException as error:
            report.errors.append(error)

    run_threads(work)
    faulthandler.cancel_dump_traceback_later()
    return report


@contextmanager
def interleaved(seed: int) -> Iterator[None]:
    """Let other threads run in between the lines of what this thread calls here.

    By itself the interpreter changes threads so seldom that a short call is always made whole.
    """
    rng = random.Random(seed)

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        if rng.random() < _STOPS:
            time.sleep(1e-6)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def run_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work(0)` to `work(count - 1)` at the same time."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
