"""Tables by slot that take memory only for the regions of slots that occur."""

from __future__ import annotations

from coldpress.flat import OS_PAGE
from coldpress.folio import MAX_ORDER

_PAGE_BITS = (OS_PAGE // 8).bit_length() - 1  # slots of a page of a table


class Regions(dict[int, int]):
    """Where in a table the entries of a slot are: at its number and what this has of its region.

    A region is so many slots in a row, its number the upper bits of theirs. The first look at one
    gives it the place behind those that have one. So it is known which regions occur, without
    asking the system which pages of a table are in RAM: one that it has swapped out is not.

    Attributes: `bits`, lower bits of a slot that its region's number has not; `entries`, how many
    a table of all slots has. Parameters: `scattered`, regions are as small as can be, the slots of
    the largest folio, so that few of very many take little memory; else they are a page of a table.

    Notes: not thread-safe. O(1), one Python object for each region that occurs.
    """

    def __init__(self, slots: int, *, scattered: bool = False) -> None:
        super().__init__()
        self.bits = MAX_ORDER if scattered else _PAGE_BITS
        self.entries = slots + -slots % (1 << self.bits)

    def __missing__(self, region: int) -> int:
        by = self[region] = len(self) - region << self.bits
        return by

    def entry(self, slot: int) -> int:
        """Where the slot's entries are, -1 if it is in a region of which none was looked at."""
        by = self.get(slot >> self.bits)
        return -1 if by is None else slot + by
