"""Threads that store and load while the parts of their pipeline are changed all the time.

What takes longer than a test may: `python tests/live_stress.py SECONDS`.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import attrs
from stress import shape
from writes import slow_writes

from coldpress import ConfigError, Pipeline
from coldpress.config import load_config
from coldpress.testing.threads import Report, stress

COMPRESSORS = ({"use": "lz4"}, {"use": "zstd"}, {"use": "brotli", "quality": 1})
ALLOCATORS = ({"use": "zbud"}, {"use": "zsmalloc"})
PACKERS = ({"use": "zsmalloc"}, {"use": "zspage"}, {"use": "bounce"})
POLICIES = ({"use": "lru"}, {"use": "sieve"}, {"use": "clock"}, {"use": "s3fifo"}, {"use": "fifo"})


@attrs.define
class Changes:
    """What the changing thread did."""

    done: Counter[str] = attrs.field(factory=Counter)
    refused: Counter[str] = attrs.field(factory=Counter)
    errors: list[BaseException] = attrs.field(factory=list)


def stress_with_changes(
    pipeline: Pipeline,
    slots: int,
    seconds: float,
    changes: Sequence[tuple[float, Sequence[dict[str, Any]]]],
    enough: Callable[[Changes], bool] = lambda found: True,
) -> tuple[Report, Changes]:
    """Drive the pipeline from four threads, while each list of `changes` goes round and round.

    Each has a thread of its own, which waits for so many seconds before the next. After `seconds`
    the threads go on until there were `enough`, as `stress` does.
    """
    found = Changes()
    stop = threading.Event()

    def change(pause: float, tables: Sequence[dict[str, Any]]) -> None:
        try:
            for one in cycle(tables):
                if stop.wait(pause):
                    return
                names = "+".join(f"{role} {table['use']}" for role, table in one.items())
                try:
                    pipeline.reconfigure(one)
                    found.done[names] += 1
                except ConfigError as error:
                    found.refused[str(error)] += 1
        except BaseException as error:
            found.errors.append(error)

    threads = [threading.Thread(target=change, args=one) for one in changes]
    for thread in threads:
        thread.start()
    report = stress(
        pipeline,
        slots,
        seconds,
        folios=0.02,
        enough=lambda: enough(found) or bool(found.errors),
    )
    stop.set()
    for thread in threads:
        thread.join()
    return report, found


ALL = (
    (0.05, [{"compressor": table} for table in COMPRESSORS]),
    (0.07, [{"allocator": table} for table in ALLOCATORS]),
    (0.13, [{"packer": table} for table in PACKERS]),
    (0.11, [{"policy": table} for table in POLICIES]),
)


def main() -> None:
    """Print what came of so many seconds."""
    slots = 20_000
    with Pipeline(load_config(shape(slots))) as pipeline:
        slow_writes(pipeline, 0.001)
        report, changes = stress_with_changes(pipeline, slots, float(sys.argv[1]), ALL)
        stats = pipeline.stats()
    print(f"{report.operations} operations, {stats.reconfigurations} changes")
    for name, count in sorted(changes.done.items()):
        print(f"  {count:6} {name}")
    for name, count in sorted(changes.refused.items()):
        print(f"  {count:6} refused: {name}")
    print(f"{len(report.wrong)} wrong or lost: {report.wrong[:5]}")
    print(f"{len(report.errors) + len(changes.errors)} errors: {report.errors} {changes.errors}")
    for name in (
        "refaults",
        "promoted_pages",
        "cleaned_blocks",
        "retired_codec_pages",
        "retired_pool_pages",
    ):
        print(f"  {name}: {getattr(stats, name)}")
    print(f"  peak {stats.pool_bytes_peak} of {stats.pool_limit}")


if __name__ == "__main__":
    main()
