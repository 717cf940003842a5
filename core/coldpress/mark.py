"""The one superblock page of a device that is not persistent: it says whose the device is.

Magic "COLDPRES", version u32, page size u32, block u32, uuid 16 bytes, epoch u64, CRC-32 u32 of the
44 bytes before. Nobody reads it again but to tell that the device was coldpress's.
"""

from __future__ import annotations

import struct

import attrs

from coldpress.checksum import crc32
from coldpress.layout import SUPERBLOCK_MAGIC, impossible_sizes

_MARK = struct.Struct("<8sIII16sQ")
_CRC = struct.Struct("<I")
_VERSION = 1


@attrs.frozen
class Mark:
    """What it says."""

    page_size: int
    block: int
    uuid: bytes
    epoch: int

    def write(self, page: memoryview) -> None:
        """Write it to the start of a page of zeros."""
        fields = self.page_size, self.block, self.uuid, self.epoch
        _MARK.pack_into(page, 0, SUPERBLOCK_MAGIC, _VERSION, *fields)
        _CRC.pack_into(page, _MARK.size, crc32(page[: _MARK.size]))


def read_mark(data: memoryview) -> Mark | None:
    """The one at the start of these bytes; None if it is damaged, or says what can not be."""
    magic, version, page_size, block, uuid, epoch = _MARK.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _MARK.size)
    if (magic, version, crc) != (SUPERBLOCK_MAGIC, _VERSION, crc32(data[: _MARK.size])):
        return None
    return None if impossible_sizes(page_size, block) else Mark(page_size, block, uuid, epoch)
