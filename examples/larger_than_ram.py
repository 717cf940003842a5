"""A table of vectors that is larger than the memory we want to give it.

    python examples/larger_than_ram.py

Rows live in a pipeline: 32 MiB of vectors in a pool of 4 MiB, the rest on an unnamed temporary
file. Each slot is one page, and a page holds eight rows of 512 bytes.
"""

from __future__ import annotations

import random
import struct

import coldpress

PAGE = 4096
ROWS = 65_536
ROW = struct.Struct("<64q")
PER_PAGE = PAGE // ROW.size


def row(number: int) -> tuple[int, ...]:
    """The vector that belongs in this row."""
    return tuple(number * step % 1009 for step in range(64))


def main() -> None:
    pipeline = coldpress.open(
        {
            "slots": ROWS // PER_PAGE,
            "compressor": {"use": "zstd"},
            "allocator": {"use": "zsmalloc", "limit": "4MiB"},
        }
    )
    with pipeline:
        for slot in range(ROWS // PER_PAGE):
            first = slot * PER_PAGE
            page = b"".join(ROW.pack(*row(first + i)) for i in range(PER_PAGE))
            pipeline.store(slot, page)

        page_buffer = bytearray(PAGE)  # one buffer for all reads
        rng = random.Random(1)
        for number in rng.choices(range(ROWS), k=10_000):
            slot, inside = divmod(number, PER_PAGE)
            pipeline.load_into(slot, page_buffer)
            assert ROW.unpack_from(page_buffer, inside * ROW.size) == row(number)

        stats = pipeline.stats()
        print(f"{stats.stored_pages} pages, {stats.stored_pages * PAGE >> 20} MiB of vectors")
        print(f"{stats.pool_bytes / 2**20:.1f} MiB in the pool, never above the limit of 4 MiB")
        print(f"{stats.device_bytes / 2**20:.1f} MiB on the device, still compressed")
        print(f"{stats.refaults} of 10000 reads came from the device, all of them right")


if __name__ == "__main__":
    main()
