"""The size classes of zsmalloc: which objects share a zspage, and how many pages it has.

Source: `zs_create_pool` and `calculate_zspage_chain_size` in Linux's mm/zsmalloc.c.
"""

from __future__ import annotations

from bisect import bisect_left

import attrs

HANDLE = 8
"""Bytes in front of each object that say whose it is; a huge object has none."""

SMALLEST = 32
"""Bytes of the smallest class. All sizes are multiples of 8, so a header is one aligned word."""


@attrs.frozen
class SizeClass:
    """Objects of `size` bytes, header included; `objects` of them in a zspage of `pages` pages."""

    size: int
    pages: int
    objects: int

    @property
    def huge(self) -> bool:
        """One object, one page, no header: the object may be as long as the page."""
        return self.objects == 1


def size_classes(page_size: int, chain: int) -> list[SizeClass]:
    """The distinct classes, smallest first, for zspages of up to `chain` pages.

    Classes lie `page_size >> 8` bytes apart. One that would have as many pages and objects as its
    larger neighbour saves nothing and merges into it; so do all that hold one object a page, which
    makes the last class the huge one.
    """
    step = page_size >> 8
    steps = -(-(page_size - SMALLEST) // step)
    classes: list[SizeClass] = []
    for number in range(steps, -1, -1):
        size = min(SMALLEST + number * step, page_size)
        pages = _pages(size, page_size, chain)
        objects = pages * page_size // size
        if not classes or (classes[-1].pages, classes[-1].objects) != (pages, objects):
            classes.append(SizeClass(size, pages, objects))
    return classes[::-1]


def _pages(size: int, page_size: int, chain: int) -> int:
    """How many pages leave the least unused at a zspage's end; the fewest of equals."""
    return min(range(1, chain + 1), key=lambda pages: pages * page_size % size)


def class_of_length(classes: list[SizeClass], page_size: int) -> bytes:
    """For each object length from 0 to `page_size`, the position of its class in `classes`."""
    sizes = [one.size for one in classes]
    huge = len(classes) - 1
    return bytes(min(bisect_left(sizes, length + HANDLE), huge) for length in range(page_size + 1))
