"""Folios: 1, 2, 4, 8 or 16 pages that are stored, compressed and written as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coldpress.errors import FolioShape, PageLength

if TYPE_CHECKING:
    from coldpress.roles.packer import Packer

MAX_ORDER = 4
MAX_PAGES = 1 << MAX_ORDER
"""The most pages of a folio."""

MAX_BYTES = 64 << 10
"""The most bytes of a folio that has more than one page."""


def folio_limit(packer: Packer, page_size: int, seal: int) -> int:
    """The most bytes in RAM of a folio's object that can be written; 0: no folio is one object.

    `seal`: bytes that an object has more on the device.
    """
    return max(0, min(packer.largest_folio(page_size), MAX_BYTES) - seal)


def folio_pages(slot: int, size: int, page_size: int) -> int:
    """How many pages a folio of `size` bytes at `slot` has.

    Raises `PageLength` if they are no number of whole pages that a folio can have, `FolioShape` if
    the slot is no multiple of that number.
    """
    if size == page_size:
        return 1
    pages, rest = divmod(size, page_size)
    most = max(1, min(MAX_PAGES, MAX_BYTES // page_size))
    if rest or pages & (pages - 1) or not 0 < pages <= most:
        *fewer, last = (str(1 << order) for order in range(most.bit_length()))
        counts = f"{', '.join(fewer)} or {last} pages" if fewer else "one page"
        raise PageLength(f"expected {counts} of {page_size} bytes, not {size} bytes")
    if slot % pages:
        raise FolioShape(f"a folio of {pages} pages begins at a multiple of {pages}, not at {slot}")
    return pages
