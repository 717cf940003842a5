"""Where things are on a device: two superblock pages, then blocks to the end."""

from __future__ import annotations

SUPERBLOCK_MAGIC = b"COLDPRES"
"""The first eight bytes of every device that coldpress has written."""

PERSISTENT_MAGIC = b"COLDKEEP"
"""The same of a device that is `persistent`: what is on it is someone's."""

SUPERBLOCKS = 2
"""Superblock pages at the start; A and B alternate."""

SMALLEST_PAGE = 4 << 10
LARGEST_PAGE = 64 << 10
"""A page is a power of two from the one to the other."""

LARGEST_DEVICE = 1 << 42
"""The most bytes of a persistent device: a word has 42 bits for a place on it."""

MOST_IDS = 254
"""Ids of compressors, and of entry types, are from 1 up to this: a record has 8 bits for one."""

LARGEST_BLOCK = 8 << 20
"""The most bytes of a block."""

MOST_SLOTS = 2**32 - 2
"""The most slots of a pipeline: their numbers have 32 bits."""

STAGED_SHARE = 8
"""One part in so many of the pool's limit may be blocks that are staged, or else one block."""

RESERVE_BLOCKS = 2
"""Blocks that writeback leaves to the cleaner."""

NONCE_BYTES = 12
TAG_BYTES = 16

SEAL_BYTES = TAG_BYTES + NONCE_BYTES
"""Bytes behind each object of an encrypted device."""

LOG_BLOCKS = 2
"""Blocks that a persistent device keeps besides, for the records of words and of empty slots."""

LARGEST_AREA = 1 << 20
"""Bytes of a superblock at most."""


def is_page_size(size: int) -> bool:
    """Whether a page may have so many bytes."""
    return SMALLEST_PAGE <= size <= LARGEST_PAGE and not size & (size - 1)


def impossible_sizes(page_size: int, block: int) -> str:
    """Why no device has pages and blocks of so many bytes; "" if one may."""
    if not is_page_size(page_size):
        return f"pages of {page_size} bytes"
    if not page_size <= block <= LARGEST_BLOCK or block % page_size:
        return f"blocks of {block} bytes"
    return ""


def seal_bytes(encrypted: str | bool) -> int:
    """How many bytes an object has more on the device than in RAM, if that is encrypted.

    A device's `encrypt` says so, or its superblock.
    """
    return SEAL_BYTES if encrypted else 0


def superblock_area(page_size: int, size: int, persistent: bool) -> int:
    """Bytes of each of the two superblocks, whole pages.

    That of a `persistent` device has room for what its codecs need, such as a dictionary.
    """
    wanted = min(size // 64, LARGEST_AREA) if persistent else 0
    return max(page_size, wanted - wanted % page_size)


def reserve_blocks(persistent: bool) -> int:
    """How many blocks stores do not get."""
    return RESERVE_BLOCKS + LOG_BLOCKS * persistent


def smallest_device(page_size: int, block: int, persistent: bool = False) -> int:
    """The fewest bytes a device may have: its superblocks, the reserve and two blocks."""
    blocks = (reserve_blocks(persistent) + 2) * block
    smallest = SUPERBLOCKS * page_size + blocks
    while smallest - SUPERBLOCKS * superblock_area(page_size, smallest, persistent) < blocks:
        smallest += page_size
    return smallest
