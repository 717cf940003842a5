"""Which compressor made each slot's object: kept once a pipeline has had more than one."""

from __future__ import annotations

from collections.abc import Iterable

from coldpress.codecs import STORED
from coldpress.flat import resident, table

_NONE = 255  # no compressor's: empty, filled, stored as it is, uncompressed in cache or on device


class Origins:
    """A byte a slot: the codec id of its object, wherever that is; 0 if it is not known yet.

    A word on the device has no room for it, so it is noted when the object is made. What is older
    than the table is all of one compressor, the first, and is noted by `older`.

    Attributes: `on_device`, whether an object's codec is still its own on the device.

    Notes: not thread-safe; the pipeline calls under its lock. O(1) for each slot; a byte of a slot
    that was never used is no real memory.
    """

    def __init__(self, slots: int, *, on_device: bool) -> None:
        self.on_device = on_device
        self._codecs = table("B", slots)
        self._counts = [0] * (_NONE + 1)

    def note(self, slots: Iterable[int], codec: int) -> None:
        """The object of these slots is another one now, made with this codec id, or is none."""
        codec = codec or _NONE
        codecs, counts = self._codecs, self._counts
        for slot in slots:
            counts[codecs[slot]] -= 1
            counts[codec] += 1
            codecs[slot] = codec

    def older(self, slot: int, codec: int) -> None:
        """The slot's object was there before the table was; nothing, if it has changed since."""
        if codec != STORED and not self._codecs[slot]:
            self.note((slot,), codec)

    def others(self, codec: int) -> int:
        """How many slots have an object that a compressor with another id made."""
        return sum(self._counts[1:_NONE]) - self._counts[codec]

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of the table."""
        return resident(self._codecs)
