"""How long a persistent device takes to be opened again, against the reading that it can not do
without.

    python bench/reopen.py [--size 1GiB] [--path FILE]

Fills a file with pages of 4 KiB, drops it from the page cache, and reads the first 4 KiB of each
block with nothing else; drops it again, and opens the pipeline. The file is removed in the end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import coldpress
from coldpress.layout import SUPERBLOCKS, superblock_area
from coldpress.testing.pages import PAGE, page
from coldpress.units import parse_size

POOL = 8 << 20
KINDS = 64  # pages of different contents, used again and again under other slots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="1GiB")
    parser.add_argument("--path", default=None)
    given = parser.parse_args()
    size = parse_size(given.size)
    path = Path(given.path or Path(tempfile.mkdtemp()) / "reopen.img")
    slots = size // 1024
    shape: dict[str, Any] = {
        "slots": slots,
        "compressor": {"use": "lz4"},
        "allocator": {"limit": POOL},
        "device": {"use": "file", "path": str(path), "size": size, "persistent": True},
    }
    try:
        pages = fill(shape, slots)
        cold, blocks = min(cold_reads(path, size) for _ in range(3))
        seconds = min(reopened(shape, path, pages) for _ in range(3))
    finally:
        path.unlink()
    print(f"{size} bytes, {blocks} blocks, {pages} pages of {PAGE} bytes")
    print(f"first 4 KiB of each block, cold: {cold:.2f} s; opening: {seconds:.2f} s")
    print(f"{seconds / cold:.2f} times as long; {pages / seconds:.0f} pages a second")


def fill(shape: dict[str, Any], slots: int) -> int:
    """Store pages until the device is nearly full; how many."""
    kinds = [page("mixed" if n % 4 else "text", n, n) for n in range(KINDS)]
    with coldpress.open(shape) as pipeline:
        most = pipeline.devices()[0].size * 0.9 - POOL  # what is in the pool comes there as well
        for slot in range(slots):
            pipeline.store(slot, kinds[slot % KINDS])
            if slot % 512 == 0 and pipeline.stats().device_bytes > most:
                return slot + 1
    return slots


def forget(path: Path) -> int:
    """Drop the file from the page cache; an open descriptor."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return fd


def cold_reads(path: Path, size: int) -> tuple[float, int]:
    """Seconds for the first 4 KiB of every block, and how many blocks there are."""
    fd = forget(path)
    block = 64 << 10
    starts = range(SUPERBLOCKS * superblock_area(PAGE, size, True), size - block + 1, block)
    begin = time.perf_counter()
    for start in starts:
        os.pread(fd, 4096, start)
    seconds = time.perf_counter() - begin
    os.close(fd)
    return seconds, len(starts)


def reopened(shape: dict[str, Any], path: Path, pages: int) -> float:
    """Seconds for the pipeline to be open, with as many pages as there were."""
    os.close(forget(path))
    begin = time.perf_counter()
    pipeline = coldpress.open(shape)
    seconds = time.perf_counter() - begin
    assert pipeline.stats().stored_pages == pages
    pipeline.close()
    return seconds


if __name__ == "__main__":
    main()
