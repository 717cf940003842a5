"""Where things are on a device: two superblock pages, then blocks to the end."""

from __future__ import annotations

SUPERBLOCK_MAGIC = b"COLDPRES"
"""The first eight bytes of every device that coldpress has written."""

SUPERBLOCKS = 2
"""Superblock pages at the start; A and B alternate."""

STAGED_SHARE = 8
"""One part in so many of the pool's limit may be blocks that are staged, or else one block."""

RESERVE_BLOCKS = 2
"""Blocks that writeback leaves to the cleaner."""


def smallest_device(page_size: int, block: int) -> int:
    """The fewest bytes a device may have: its superblocks, the reserve and two blocks."""
    return SUPERBLOCKS * page_size + (RESERVE_BLOCKS + 2) * block
