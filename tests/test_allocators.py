"""The built-in allocators: the common contract, then what each promises besides."""

from __future__ import annotations

import random
import sys
import sysconfig
from collections.abc import Callable
from itertools import cycle, repeat
from pathlib import Path
from typing import Any, ClassVar

import lz4.block
import pytest
import zstandard

from coldpress import PoolBudget
from coldpress.testing import AllocatorTests
from coldpress.testing.memory import MIB
from coldpress.testing.pool import PAGE, Pool
from coldpress_plugins.allocators.size_classes import HANDLE, class_of_length, size_classes
from coldpress_plugins.allocators.zbud import Zbud
from coldpress_plugins.allocators.zsmalloc import Zsmalloc


def lz4_length(page: bytes) -> int:
    return len(lz4.block.compress(page, store_size=False))


def zstd_length(page: bytes) -> int:
    return len(zstandard.ZstdCompressor(level=1, write_content_size=False).compress(page))


def compressed_lengths(length: Callable[[bytes], int], objects: int) -> list[int]:
    """The lengths that compressed pages of real files have, in random order, over and over."""
    folder = Path(sysconfig.get_path("stdlib"))
    sources = [Path(sys.executable).resolve(), *sorted(folder.glob("*.py"))]
    data = b"".join(source.read_bytes()[: 400 * PAGE] for source in sources)
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)][:1000]
    known = [found for page in pages if (found := length(page)) < PAGE]
    random.Random(9).shuffle(known)
    return [found for found, _ in zip(cycle(known), range(objects), strict=False)]


def huge_pool() -> Pool:
    """A pool with a limit that no machine has the memory for, as address space is free."""
    if Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2":
        pytest.skip("this system counts address space as memory")
    return Pool(Zsmalloc(), 1 << 37)


class TestZsmalloc(AllocatorTests):
    plugin = Zsmalloc


class TestZsmallocOfSinglePages(AllocatorTests):
    plugin = Zsmalloc
    options: ClassVar[dict[str, Any]] = {"chain": 1}
    examples = 20


class TestZsmallocOfLongChains(AllocatorTests):
    plugin = Zsmalloc
    options: ClassVar[dict[str, Any]] = {"chain": 16}
    examples = 20


class TestZbud(AllocatorTests):
    plugin = Zbud


class TestZspages:
    """What zsmalloc promises beyond the contract."""

    @pytest.mark.parametrize("length", [lz4_length, zstd_length])
    def test_real_pages_are_stored_densely(self, length: Callable[[bytes], int]) -> None:
        allocator = Zsmalloc()
        allocator.open(PoolBudget(256 * MIB), PAGE)
        lengths = compressed_lengths(length, 20000)
        for one in lengths:
            allocator.alloc(bytes(one))
        assert sum(lengths) / allocator.pool_bytes >= 0.93
        assert allocator.metadata_bytes <= 8 * len(lengths)
        assert allocator.max_size == PAGE

    @pytest.mark.parametrize("chain", [1, 4, 8, 16])
    def test_compaction_leaves_no_zspage_too_many(self, chain: int) -> None:
        pool = Pool(Zsmalloc(chain=chain), 8 * MIB)
        lengths = compressed_lengths(lz4_length, 3000)
        handles = [pool.alloc(length) for length in lengths]
        for handle in random.Random(10).sample(handles, 2000):
            if handle != -1:
                pool.free(handle)
        assert pool.compact() > 0 or chain == 1
        classes = size_classes(PAGE, chain)
        lookup = class_of_length(classes, PAGE)
        objects = [0] * len(classes)
        for data in pool.stored.values():
            objects[lookup[len(data)]] += 1
        fewest = sum(
            -(-held // one.objects) * one.pages * PAGE
            for held, one in zip(objects, classes, strict=True)
        )
        assert pool.allocator.pool_bytes == fewest
        pool.check()

    def test_the_fullest_zspage_with_room_is_filled_first(self) -> None:
        # Two zspages of 9 objects; 1 object leaves the first one and 7 leave the second one.
        pool = Pool(Zsmalloc(), MIB)
        one = next(one for one in size_classes(PAGE, 8) if one.objects == 9 and one.pages == 8)
        first, second = ([pool.alloc(one.size - HANDLE) for _ in range(9)] for _ in range(2))
        for handle in [first[0], *second[:7]]:
            pool.free(handle)
        pool.alloc(one.size - HANDLE)
        for handle in second[7:]:
            pool.free(handle)
        assert pool.allocator.pool_bytes == one.pages * PAGE, "the emptier zspage was used"

    def test_a_zspage_becomes_real_page_by_page(self) -> None:
        pool = Pool(Zsmalloc(), MIB)
        pool.alloc(3600)  # the first of a zspage of 8 pages
        assert pool.allocator.pool_bytes == 8 * PAGE
        assert pool.allocator.resident_bytes() == PAGE

    @pytest.mark.parametrize("limit", [1, PAGE - 1, PAGE, 3 * PAGE, 9 * PAGE])
    def test_tiny_limits(self, limit: int) -> None:
        pool = Pool(Zsmalloc(), limit)
        for length in (24, 100, 1700, 3600, PAGE):
            pool.fill(repeat(length))
            pool.check()
        assert bool(pool.stored) == (limit >= PAGE)

    def test_a_limit_larger_than_ram(self) -> None:
        pool = huge_pool()
        for length in (24, 1000, PAGE):
            pool.alloc(length)
        pool.check()
        assert pool.allocator.metadata_bytes < MIB

    def test_numbers_of_more_than_32_bits_in_a_handles_row(self) -> None:
        pool = huge_pool()
        state: Any = pool.allocator
        if not hasattr(state._pool, "_fresh_handle"):
            pytest.skip("compiled code's state can not be set from outside")
        state._pool._fresh_handle = state._pool._mapping._fresh = 1 << 24
        for _ in range(3):
            handles = [pool.alloc(1000) for _ in range(40)]
            assert min(handles) >= 1 << 24
            pool.check_contents()
            for handle in random.Random(11).sample(handles, 40):
                pool.free(handle)
            assert pool.budget.used == 0

    @pytest.mark.parametrize("chain", [0, 17, -1])
    def test_chains_that_can_not_be(self, chain: int) -> None:
        with pytest.raises(ValueError, match=f"from 1 to 16, got {chain}"):
            Zsmalloc(chain=chain)


class TestBuddies:
    """What zbud promises beyond the contract."""

    chunk = PAGE // 64

    @pytest.mark.parametrize(
        ("first", "second", "pages"),
        [
            (1, 1, 1),
            (62, 1, 1),  # 63 chunks are there, the 64th is the page's header
            (31, 32, 1),
            (32, 32, 2),
            (63, 1, 2),  # no room for a buddy
            (64, 1, 2),
            (1, 64, 2),
        ],
    )
    def test_who_shares_a_page(self, first: int, second: int, pages: int) -> None:
        pool = Pool(Zbud(), MIB)
        pool.alloc(first * self.chunk)
        pool.alloc(second * self.chunk)
        assert pool.allocator.pool_bytes == pages * PAGE
        pool.alloc(self.chunk)
        assert pool.allocator.pool_bytes <= 2 * PAGE, "a third object in a page of two"
        pool.check()

    def test_a_buddy_goes_where_it_fits_best(self) -> None:
        pool = Pool(Zbud(), MIB)
        for chunks in (33, 40, 36):  # 30, 23 and 27 chunks are left
            pool.alloc(chunks * self.chunk)
        pool.alloc(25 * self.chunk)  # fits best beside the third
        pool.alloc(23 * self.chunk)  # beside the second
        pool.alloc(30 * self.chunk)  # and so this beside the first
        assert pool.allocator.pool_bytes == 3 * PAGE
        pool.check()

    def test_either_end_is_used_again(self) -> None:
        pool = Pool(Zbud(), MIB)
        for end in (0, 1):
            handles = [pool.alloc(1800), pool.alloc(1900)]
            pool.free(handles[end])
            pool.alloc(2000)
            assert pool.allocator.pool_bytes == PAGE
            pool.check()
            pool.free_all()

    def test_a_page_costs_two_bytes_outside_itself(self) -> None:
        allocator = Zbud()
        allocator.open(PoolBudget(64 * MIB), PAGE)
        for _ in range(16384):
            assert allocator.alloc(bytes(3000)) != -1
        assert allocator.pool_bytes == 64 * MIB
        assert allocator.metadata_bytes <= 2 * 16384 + PAGE
        assert allocator.max_size == PAGE

    def test_nothing_moves(self) -> None:
        pool = Pool(Zbud(), MIB)
        for handle in [pool.alloc(1500) for _ in range(100)][::2]:
            pool.free(handle)
        assert pool.compact() == 0
        pool.check()
