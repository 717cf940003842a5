"""The reserved mapping, the budget behind it and the flat tables, with the system as witness."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldpress import PoolBudget, ReservedMapping
from coldpress.flat import OS_PAGE, reserve, resident, table
from coldpress.testing.memory import MIB, process_bytes


class TestFlat:
    @pytest.mark.parametrize(("typecode", "width"), [("B", 1), ("H", 2), ("I", 4), ("Q", 8)])
    def test_a_table_is_zero_and_holds_its_widest_value(self, typecode: str, width: int) -> None:
        made = table(typecode, 1000)  # type: ignore[arg-type]
        assert len(made) == 1000
        assert not any(made)
        made[999] = 256**width - 1
        assert made[999] == 256**width - 1
        with pytest.raises(ValueError, match="memoryview: invalid value"):
            made[0] = 256**width

    def test_only_what_was_touched_is_resident(self) -> None:
        made = table("I", 64 * MIB)
        assert resident(made) == 0
        for page in (0, 7, 8, 5000):
            made[page * OS_PAGE // 4] = 1
        assert resident(made) == 4 * OS_PAGE

    def test_resident_counts_past_the_part_that_is_asked_for_at_once(self) -> None:
        made = table("B", 700 * MIB)
        for at in (0, 256 * MIB - 1, 256 * MIB, 700 * MIB - 1):
            made[at] = 1
        assert resident(made) == 4 * OS_PAGE

    def test_resident_of_a_part_and_of_several(self) -> None:
        made, other = table("B", 8 * OS_PAGE), table("B", OS_PAGE)
        made[: 4 * OS_PAGE] = bytes(4 * OS_PAGE)
        other[0] = 1
        assert resident(made[OS_PAGE : 6 * OS_PAGE]) == 3 * OS_PAGE
        assert resident(made, other) == 5 * OS_PAGE
        assert resident(made[:0]) == 0

    def test_address_space_is_not_counted_as_memory(self) -> None:
        mode = Path("/proc/sys/vm/overcommit_memory").read_text().strip()
        if mode == "2":
            pytest.skip("this system counts address space as memory")
        before = process_bytes()
        view = memoryview(reserve(4 << 40))  # more than any machine that runs this has
        view[3 << 40] = 1
        assert process_bytes() - before < MIB

    def test_too_much_address_space_is_a_memory_error(self) -> None:
        with pytest.raises(MemoryError, match="address space"):
            reserve(1 << 60)


class TestBudget:
    def test_take_up_to_the_limit(self) -> None:
        budget = PoolBudget(100)
        assert budget.take(60)
        assert not budget.take(41)
        assert budget.take(40)
        budget.give(100)
        assert (budget.used, budget.peak, budget.limit_hits) == (0, 100, 1)

    def test_headroom_is_for_staging_alone(self) -> None:
        budget = PoolBudget(100, headroom=25)
        assert not budget.take(76)
        assert budget.take(75)
        budget.stage(25)
        assert budget.used == 100
        with pytest.raises(ValueError, match="pass the headroom"):
            budget.stage(1)
        budget.unstage(25)
        assert not budget.take(1)

    @pytest.mark.parametrize(("limit", "headroom"), [(0, 0), (10, 10), (10, -1)])
    def test_impossible_limits(self, limit: int, headroom: int) -> None:
        with pytest.raises(ValueError, match="headroom"):
            PoolBudget(limit, headroom)

    @given(
        limit=st.integers(1, 50),
        headroom=st.integers(0, 20),
        calls=st.lists(st.tuples(st.sampled_from(["take", "stage"]), st.integers(1, 12))),
    )
    @settings(max_examples=200)
    def test_never_past_the_limit(
        self, limit: int, headroom: int, calls: list[tuple[str, int]]
    ) -> None:
        budget = PoolBudget(limit + headroom, headroom)
        taken = staged = 0
        for call, size in calls:
            if call == "take":
                accepted = budget.take(size)
                assert accepted == (taken + size <= limit)  # staging takes nothing from objects
                taken += size if accepted else 0
            elif staged + size <= headroom:
                budget.stage(size)
                staged += size
            assert budget.used == taken + staged <= budget.limit
            assert budget.peak >= budget.used
        budget.give(taken)
        budget.unstage(staged)
        assert budget.used == 0


class TestMapping:
    def test_extents_lie_apart_and_keep_what_is_written(self) -> None:
        mapping = ReservedMapping(PoolBudget(MIB), 4 * OS_PAGE, 16)
        numbers = [mapping.acquire(4 * OS_PAGE) for _ in range(16)]
        assert sorted(numbers) == list(range(16))
        for number in numbers:
            at = number * mapping.extent
            mapping.view[at : at + mapping.extent] = bytes([number]) * mapping.extent
        for number in numbers:
            at = number * mapping.extent
            assert bytes(mapping.view[at : at + mapping.extent]) == bytes([number]) * mapping.extent
        assert mapping.resident_bytes() == 16 * mapping.extent

    def test_only_what_is_asked_for_counts(self) -> None:
        budget = PoolBudget(8 * OS_PAGE)
        mapping = ReservedMapping(budget, 8 * OS_PAGE, 8)
        sizes = [3 * OS_PAGE, OS_PAGE, 4 * OS_PAGE]
        numbers = [mapping.acquire(size) for size in sizes]
        assert budget.used == 8 * OS_PAGE
        assert mapping.acquire(OS_PAGE) == -1
        assert budget.limit_hits == 1
        mapping.release(numbers[1], sizes[1])
        assert budget.used == 7 * OS_PAGE
        assert mapping.acquire(OS_PAGE) == numbers[1]

    def test_a_refused_extent_is_not_lost(self) -> None:
        budget = PoolBudget(2 * OS_PAGE)
        mapping = ReservedMapping(budget, OS_PAGE, 2)
        assert budget.take(2 * OS_PAGE)
        assert mapping.acquire(OS_PAGE) == -1
        budget.give(2 * OS_PAGE)
        assert {mapping.acquire(OS_PAGE), mapping.acquire(OS_PAGE)} == {0, 1}

    def test_no_more_extents_than_there_are(self) -> None:
        budget = PoolBudget(MIB)
        mapping = ReservedMapping(budget, OS_PAGE, 3)
        assert [mapping.acquire(OS_PAGE) for _ in range(4)] == [0, 1, 2, -1]
        assert budget.used == 3 * OS_PAGE

    def test_a_released_extent_leaves_ram_and_reads_as_zeros(self) -> None:
        mapping = ReservedMapping(PoolBudget(64 * MIB), MIB, 64)
        before = process_bytes()
        numbers = [mapping.acquire(MIB) for _ in range(32)]
        for number in numbers:
            mapping.view[number * MIB : (number + 1) * MIB] = b"\xaa" * MIB
        assert mapping.resident_bytes() == 32 * MIB
        assert abs(process_bytes() - before - 32 * MIB) < 2 * MIB
        for number in numbers[::2]:
            mapping.release(number, MIB)
        assert mapping.resident_bytes() == 16 * MIB
        assert abs(process_bytes() - before - 16 * MIB) < 2 * MIB
        again = mapping.acquire(MIB)
        assert again in numbers[::2]
        assert not any(mapping.view[again * MIB : (again + 1) * MIB])
        assert bytes(mapping.view[numbers[1] * MIB : (numbers[1] + 1) * MIB]) == b"\xaa" * MIB

    def test_locked_memory_that_the_system_does_not_take_back_is_overwritten(self) -> None:
        mapping = ReservedMapping(PoolBudget(8 * MIB), OS_PAGE, 8)
        number = mapping.acquire(OS_PAGE)
        extent = mapping.view[number * OS_PAGE : (number + 1) * OS_PAGE]
        libc = ctypes.CDLL(None, use_errno=True)
        address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(extent)))
        if libc.mlock(address, ctypes.c_size_t(OS_PAGE)):
            pytest.skip("this process may not lock memory")
        for end in (lambda: mapping.release(number, OS_PAGE), mapping.close):
            extent[:] = b"\xaa" * OS_PAGE
            end()
            assert not any(extent)

    def test_close_gives_all_back_while_the_view_is_held(self) -> None:
        mapping = ReservedMapping(PoolBudget(8 * MIB), MIB, 8)
        view = mapping.view
        number = mapping.acquire(MIB)
        view[number * MIB : (number + 1) * MIB] = b"\xaa" * MIB
        mapping.close()
        assert mapping.resident_bytes() == 0
        assert view[number * MIB] == 0

    def test_metadata_is_what_its_table_has_in_ram(self) -> None:
        mapping = ReservedMapping(PoolBudget(MIB), OS_PAGE, 256)
        numbers = [mapping.acquire(OS_PAGE) for _ in range(256)]
        assert mapping.metadata_bytes == 0
        for number in numbers:
            mapping.release(number, OS_PAGE)
        assert mapping.metadata_bytes == OS_PAGE

    @pytest.mark.parametrize("extent", [0, -OS_PAGE, OS_PAGE + 1, OS_PAGE // 2])
    def test_an_extent_is_whole_pages(self, extent: int) -> None:
        with pytest.raises(ValueError, match="no multiple"):
            ReservedMapping(PoolBudget(MIB), extent, 1)
