"""The swap table: one 64-bit word per slot.

A word is zero for a slot that was never used; else its low four bits are a tag, which entry type
the slot has, the next bit tells that the word may stand in other slots too, those of a folio, and
the other 59 are the payload, whose meaning is the type's own.
"""

from __future__ import annotations

from coldpress.flat import resident, table

TAG_MASK = 15
FOLIO = 16
PAYLOAD_AT = 5
"""How far to the right a word is shifted to get its payload."""


class SwapTable:
    """A flat table of words, indexed by slot.

    Notes: not thread-safe; the pipeline calls under its lock. Every call is O(1).
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.words = table("Q", slots)

    def get(self, slot: int) -> int:
        """The slot's word."""
        return self.words[slot]

    def put(self, slot: int, word: int) -> None:
        """Set the slot's word, whatever it was."""
        self.words[slot] = word

    def is_used(self, start: int, stop: int) -> bool:
        """Whether one of these words may have been set; without reading them.

        To be read is to be used, for the system.
        """
        return resident(self.words[start:stop]) > 0

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the table that are in RAM."""
        return resident(self.words)
