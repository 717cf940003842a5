"""The size classes against the kernel's figures and against what makes them right."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldpress_plugins.allocators.size_classes import (
    HANDLE,
    SizeClass,
    class_of_length,
    size_classes,
)

PAGE = 4096


# Distinct classes and the size of the largest that is not huge, in Linux on 4 KiB pages.
# zs_huge_class_size() is 7 less: the object's header counts, and the first huge size is one more.
@pytest.mark.parametrize(
    ("chain", "classes", "watermark"),
    [(4, 69, 3264), (5, 86, 3408), (8, 119, 3632), (16, 192, 3840)],
)
def test_the_kernels_figures(chain: int, classes: int, watermark: int) -> None:
    found = size_classes(PAGE, chain)
    assert len(found) == classes
    assert max(one.size for one in found if not one.huge) == watermark
    lookup = class_of_length(found, PAGE)
    first_huge = watermark - (HANDLE - 1)
    assert found[lookup[first_huge]].huge
    assert not found[lookup[first_huge - 1]].huge


# What Linux's Documentation/mm/zsmalloc.rst shows of /sys/kernel/debug/zsmalloc: sizes and pages.
@pytest.mark.parametrize(
    ("chain", "shown"),
    [
        (4, {512: 1, 528: 4, 544: 2, 1536: 3, 1632: 2, 3264: 4, 4096: 1}),
        (8, {3264: 4, 3408: 5, 3504: 6, 3584: 7, 3632: 8, 4096: 1}),
        (16, {3328: 13, 3344: 9, 3456: 11, 3600: 15, 3680: 9, 3712: 10, 3808: 14, 3840: 15}),
    ],
)
def test_the_kernels_own_listing(chain: int, shown: dict[int, int]) -> None:
    pages = {one.size: one.pages for one in size_classes(PAGE, chain)}
    assert {size: pages.get(size) for size in shown} == shown


def test_neighbours_that_pack_alike_merge() -> None:
    # Documentation/mm/zsmalloc.rst: with chains of 4, 1568 bytes are stored in the class of 1632.
    classes = size_classes(PAGE, 4)
    stored = classes[class_of_length(classes, PAGE)[1568 - HANDLE]]
    assert stored == SizeClass(1632, 2, 5)


geometries = st.tuples(st.sampled_from([4096, 8192, 16384, 65536]), st.integers(1, 16))


@given(geometries)
@settings(max_examples=30, deadline=None)
def test_every_geometry(geometry: tuple[int, int]) -> None:
    page_size, chain = geometry
    classes = size_classes(page_size, chain)
    sizes = [one.size for one in classes]
    assert sizes == sorted(set(sizes))
    assert classes[-1] == SizeClass(page_size, 1, 1)
    assert [one.huge for one in classes] == [False] * (len(classes) - 1) + [True]
    for one in classes:
        assert one.size % 8 == 0
        assert 1 <= one.pages <= chain
        assert one.objects == one.pages * page_size // one.size
        waste = one.pages * page_size % one.size
        for pages in range(1, chain + 1):
            assert (pages * page_size % one.size, pages) >= (waste, one.pages)
    for smaller, larger in pairwise(classes):
        assert (smaller.pages, smaller.objects) != (larger.pages, larger.objects)


@given(geometries)
@settings(max_examples=15, deadline=None)
def test_a_length_gets_the_smallest_class_that_holds_it(geometry: tuple[int, int]) -> None:
    page_size, chain = geometry
    classes = size_classes(page_size, chain)
    lookup = class_of_length(classes, page_size)
    assert len(lookup) == page_size + 1
    for length in range(1, page_size + 1):
        mine = classes[lookup[length]]
        assert length <= (page_size if mine.huge else mine.size - HANDLE)
        if lookup[length]:
            assert length > classes[lookup[length] - 1].size - HANDLE
