"""A device on which bits change by themselves."""

from __future__ import annotations

import random
import threading

import attrs

from coldpress.component import Buffer, option
from coldpress.flat import reserve
from coldpress.testing.chances import chance
from coldpress.testing.wrapped import WrappedDevice


@attrs.define(slots=False, eq=False, kw_only=True)
class BitrotDevice(WrappedDevice):
    """Bits change where they lie, and stay so; no call ever says that anything is wrong.

    Attributes:
        seed: config key; of the chances.
        rate: config key; how often a byte that is about to be read has rotted: one bit of it is
            turned on the medium first, for good, so a later read gives the same.
        rotten: how many bits have been turned.

    Notes: thread-safe. One write, or one bit's turning, goes on at a time: beside a write, the rest
    of a sector would come back as it was before.
    """

    name = "bitrot"

    seed: int = option(default=0, help="of the chances: the same reads find the same bits turned")
    rate: float = chance("bytes read of which one bit has turned, for good")
    rotten: int = attrs.field(init=False, default=0)

    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)
    _chances: random.Random = attrs.field(init=False)

    @_chances.default
    def _seeded(self) -> random.Random:
        return random.Random(self.seed)

    def rot(self, offset: int, bit: int) -> None:
        """Turn this bit, 0 the lowest, of the byte at this offset of the open device."""
        with self._lock:
            self._turn(offset, bit)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if self.rate and self.has(offset, buffer.nbytes):
            with self._lock:
                for _ in range(self._turning(buffer.nbytes)):
                    at = offset + self._chances.randrange(buffer.nbytes)
                    self._turn(at, self._chances.randrange(8))
        super().read_into(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        with self._lock:
            super().write(offset, data)

    def _turning(self, length: int) -> int:
        """How many of so many bytes rot."""
        expected = length * self.rate
        return int(expected) + (self._chances.random() < expected % 1)

    def _turn(self, offset: int, bit: int) -> None:
        sector = memoryview(reserve(self.alignment))
        start = offset - offset % self.alignment
        self.under.read_into(start, sector)
        sector[offset - start] ^= 1 << bit
        self.under.write(start, sector)
        self.rotten += 1
