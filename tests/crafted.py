"""Images made by hand: any fields, and all checksums right."""

from __future__ import annotations

import struct
import zlib

from coldpress.block import HEADER_BYTES, MAGIC, RECORD, RECORD_BYTES
from coldpress.superblock import HEAD_BYTES

_WORD = struct.Struct("<I")
_COVERED = struct.Struct("<QIQ")
_PLACE = (1 << 24) - 1


def mend_superblock(area: memoryview) -> None:
    """Give a superblock the checksums that fit its bytes."""
    if len(area) < HEAD_BYTES:
        return
    (length,) = _WORD.unpack_from(area, 20)
    ids = area[HEAD_BYTES : HEAD_BYTES + length]
    _WORD.pack_into(area, 88, zlib.crc32(ids))
    _WORD.pack_into(area, HEAD_BYTES - 4, zlib.crc32(area[: HEAD_BYTES - 4]))


def mend_block(block: memoryview) -> None:
    """Give a block's records, their copies and its header the checksums that fit their bytes.

    Where no block starts nothing is done.
    """
    if len(block) < HEADER_BYTES or bytes(block[: len(MAGIC)]) != MAGIC:
        return
    (count,) = _WORD.unpack_from(block, 48)
    end = min(HEADER_BYTES + RECORD_BYTES * count, len(block) - RECORD_BYTES)
    for at in range(HEADER_BYTES, end, RECORD_BYTES):
        shape, slot, _, sequence = RECORD.unpack_from(block, at)
        place, length = shape & _PLACE, shape >> 24 & _PLACE
        if place + RECORD_BYTES + length > len(block):
            continue
        body = block[place + RECORD_BYTES : place + RECORD_BYTES + length]
        crc = zlib.crc32(body, zlib.crc32(_COVERED.pack(shape & ~_PLACE, slot, sequence)))
        _WORD.pack_into(block, at + 12, crc)
        if place >= end:
            stamp, *_ = struct.unpack_from("<Q", block, 32)
            RECORD.pack_into(block, place, shape & ~_PLACE | stamp & _PLACE, slot, crc, sequence)
    start = zlib.crc32(block[: HEADER_BYTES - 4])
    table = block[HEADER_BYTES : HEADER_BYTES + RECORD_BYTES * count]
    _WORD.pack_into(block, HEADER_BYTES - 4, zlib.crc32(table, start))
