"""The bounce buffer: victims back to back in one block, in the policy's order."""

from __future__ import annotations

import mmap

import attrs

from coldpress import PackedBlock, Packer, Victim, Victims
from coldpress.block import BlockIdentity, build, room_for
from coldpress.flat import reserve


@attrs.define(slots=False, eq=False, kw_only=True)
class Bounce(Packer):
    """Copies victims back to back into one N-page buffer: nothing pinned, no class waste.

    The first victim that does not fit any more begins the next block, so blocks leave in exactly
    the policy's order.
    """

    name = "bounce"

    def open(self, page_size: int) -> None:
        self._page_size = page_size
        self._mapping = reserve(self.block)
        self._buffer = memoryview(self._mapping)

    def fits(self, length: int) -> bool:
        return room_for(self.block, 1, length)

    def pack(self, victims: Victims, identity: BlockIdentity) -> PackedBlock | None:
        taken: list[Victim] = []
        payload = 0
        while (victim := victims.take()) is not None:
            if not room_for(self.block, len(taken) + 1, payload + victim.length):
                victims.put_back(victim)
                break
            taken.append(victim)
            payload += victim.length
        if not taken:
            return None
        return build(self._buffer, self._page_size, identity, taken, victims.copy_into)

    def idle(self) -> None:
        self._mapping.madvise(mmap.MADV_DONTNEED)
