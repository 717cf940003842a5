"""What zswap does today: each page decompressed and written by itself."""

from __future__ import annotations

import attrs

from coldpress import OpenBlock, PackedBlock, Packer, Size, Victim, option
from coldpress.block import BlockError
from coldpress.checksum import crc32
from coldpress.roles import BlockIdentity, DeviceObject, Objects, Placed


class PageBlock(OpenBlock):
    """One page, without header or record: its checksum is kept in RAM."""

    def __init__(self, buffer: memoryview, page_size: int) -> None:
        self.victims: list[Victim] = []
        self._page = buffer[:page_size]
        self._compressed = b""

    def has_room(self, length: int) -> bool:
        return not self.victims

    def add(self, victim: Victim, objects: Objects) -> None:
        compressed = bytearray(victim.length)
        objects.copy_into(victim, memoryview(compressed), 0)
        self._compressed = bytes(compressed)
        self.victims.append(victim)

    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        (victim,) = self.victims
        size = len(self._page)
        self._page[:] = objects.decode(victim.codec, self._compressed, size)
        return PackedBlock(self._page, [Placed(victim, 0, size)], check=crc32(self._page))


@attrs.define(slots=False, eq=False, kw_only=True)
class PagePacker(Packer):
    """Decompresses each victim and writes its page alone, as zswap does today: the baseline.

    What is read back is a page again; it is compressed once more if it is promoted.
    """

    name = "page"
    keeps_compressed = False
    block: Size = option(default=Size(4096), help="device bytes set aside for a page, whole pages")

    def open(self, page_size: int) -> None:
        self._page_size = page_size

    def fits(self, length: int, page_size: int) -> bool:
        return length <= self.block

    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        return PageBlock(buffer, self._page_size)

    def extent(self, length: int) -> int:
        return length

    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        page = data[: wanted.length]
        if len(page) != wanted.length:
            raise BlockError("the page does not fit into its block")
        if crc32(page) != wanted.check:
            raise BlockError("checksum of the page is wrong")
        wanted.data = bytes(page)
