"""What every allocator promises.

The checks keep their own copy of every object and ask the operating system how much memory is in
use, so that an allocator can not vouch for itself.
"""

from __future__ import annotations

import gc
import random
from collections import deque
from collections.abc import Iterator
from itertools import cycle, repeat
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from coldpress.mapping import ReservedMapping
from coldpress.roles import Allocator
from coldpress.testing.cost import FEW, MANY, assert_flat
from coldpress.testing.kit import Kit
from coldpress.testing.memory import MIB, process_bytes
from coldpress.testing.pages import same
from coldpress.testing.pool import PAGE, Pool
from coldpress.testing.whole import WholePipelineTests

_SHORT = 20  # bytes of a small object


def _mappings() -> list[ReservedMapping]:
    """Those of this process, whoever has them: an allocator need not show its own."""
    return [one for one in gc.get_objects() if type(one) is ReservedMapping]


class AllocatorContract(Kit):
    """The checks of the role alone."""

    role = "allocator"
    plugin: ClassVar[type[Allocator]]

    def pool(self, limit: int = MIB) -> Pool:
        return Pool(self.make(), limit)

    def lengths(self, seed: int, top: int) -> Iterator[int]:
        """Random object lengths; one in eight is among the smallest or the largest."""
        rng = random.Random(seed)
        while True:
            yield rng.choice([1, 2, top - 1, top]) if rng.random() < 1 / 8 else rng.randint(1, top)

    def test_every_length_reads_back(self) -> None:
        pool = self.pool(4 * MIB)
        top = pool.allocator.max_size
        assert top >= 1
        for length in {*range(1, top, 37), *range(top - 40, top + 1), 7, 8, 9}:
            handle = pool.alloc(length)
            assert handle != -1
            data = pool.stored[handle]
            out = memoryview(bytearray(b"\xee" * (length + 20)))
            pool.allocator.copy_into(handle, length, out, 13)
            assert same(bytes(out), b"\xee" * 13 + data + b"\xee" * 7)
            assert same(pool.allocator.read(handle, length // 2), data[: length // 2])
            if len(pool.stored) % 64 == 0:
                pool.free_all()
        pool.check()

    def test_an_object_is_a_copy_of_any_bytes_like(self) -> None:
        pool = self.pool()
        source = bytearray(pool.content(808))
        want = bytes(source)
        views: list[Any] = [bytes(source), bytearray(source), memoryview(source)]
        views += [
            memoryview(source)[8:800],
            memoryview(bytes(source)),
            memoryview(source).cast("Q"),
        ]
        for view in views:
            pool.stored[pool.allocator.alloc(view)] = bytes(view)
        source[:] = bytes(808)
        assert same(views[0], want)
        pool.check()

    def test_lengths_that_are_refused(self) -> None:
        pool = self.pool()
        pool.alloc(100)
        for data in (b"", bytearray(), memoryview(b""), bytes(pool.allocator.max_size + 1)):
            with pytest.raises(ValueError, match="bytes"):
                pool.allocator.alloc(data)
        pool.check()

    def test_a_full_pool_refuses_and_changes_nothing(self) -> None:
        pool = self.pool()
        lengths = self.lengths(1, pool.allocator.max_size)
        pool.fill(lengths)
        assert len(pool.stored) > 10
        held = pool.allocator.pool_bytes
        big = pool.content(pool.allocator.max_size)
        refused = [pool.allocator.alloc(big) for _ in range(50)]
        assert -1 in refused
        for handle in refused:
            if handle != -1:
                pool.stored[handle] = big
        assert pool.allocator.alloc(big) == -1
        pool.check()
        assert pool.allocator.pool_bytes >= held
        for handle in list(pool.stored)[: len(pool.stored) // 2]:
            pool.free(handle)
        pool.compact()
        assert pool.alloc(pool.allocator.max_size) != -1
        pool.check()

    def test_the_limit_is_shared(self) -> None:
        pool = self.pool()
        pool.others = pool.budget.limit // 2
        assert pool.budget.take(pool.others)
        pool.fill(self.lengths(2, pool.allocator.max_size))
        pool.check()
        assert pool.allocator.pool_bytes <= pool.budget.limit // 2
        pool.free_all()
        assert pool.budget.used == pool.others

    def test_a_pool_that_was_emptied_fills_again_just_as_well(self) -> None:
        pool = self.pool()
        fills = []
        for _ in range(4):
            pool.fill(self.lengths(3, pool.allocator.max_size))
            fills.append(len(pool.stored))
            pool.check()
            pool.free_all()
            assert pool.allocator.pool_bytes == pool.budget.used == 0
            assert pool.allocator.resident_bytes() == 0
        assert len(set(fills)) == 1, "freed objects leave something behind"

    def test_what_freed_objects_used_is_used_again(self) -> None:
        pool = self.pool(32 * PAGE)
        rng = random.Random(4)
        length = pool.allocator.max_size // 3
        pool.fill(repeat(length))
        held = 0
        for _ in range(PAGE):  # more objects than the smallest ones that the limit has room for
            pool.free(rng.choice(list(pool.stored)))
            assert pool.alloc(length) != -1
            held = held or pool.allocator.metadata_bytes  # with where it notes what is free
        assert pool.allocator.metadata_bytes == held
        pool.check()

    def test_nothing_of_what_was_freed_is_left(self) -> None:
        before = _mappings()
        pool = self.pool()
        mappings = [one for one in _mappings() if one not in before]
        pool.fill(self.lengths(9, pool.allocator.max_size))
        memory = b"".join(bytes(one.view) for one in mappings)
        if not any(data in memory for data in pool.stored.values()):
            pytest.skip(
                "the kit finds its objects only if they lie as they are in ReservedMappings"
            )
        freed = []
        for handle in random.Random(8).sample(list(pool.stored), len(pool.stored) * 3 // 4):
            freed.append(pool.stored[handle])
            pool.free(handle)
        for _ in range(2):  # what compaction moves leaves nothing where it was either
            memory = b"".join(bytes(one.view) for one in mappings)
            for data in freed:
                pieces = {data[:16], data[len(data) // 2 :][:16], data[-16:]}
                assert not any(len(one) == 16 and one in memory for one in pieces)
            pool.compact()

    def test_memory_is_real_only_while_it_is_counted(self) -> None:
        lengths = self.lengths(5, PAGE // 2)
        data = [random.Random(n).randbytes(next(lengths)) for n in range(12000)]
        pool = self.pool(64 * MIB)
        allocator = pool.allocator
        handles = [0] * len(data)
        before = process_bytes()
        for n, one in enumerate(data):
            handles[n] = allocator.alloc(one)
        held = allocator.resident_bytes() + allocator.metadata_bytes
        assert sum(map(len, data)) <= allocator.resident_bytes() <= allocator.pool_bytes
        assert abs(process_bytes() - before - held) < MIB
        for handle in handles[::2]:
            allocator.free(handle)
        allocator.compact()
        held = allocator.resident_bytes() + allocator.metadata_bytes
        assert abs(process_bytes() - before - held) < MIB
        for handle in handles[1::2]:
            allocator.free(handle)
        assert allocator.resident_bytes() == 0
        assert process_bytes() - before < allocator.metadata_bytes + MIB

    def test_close_gives_the_memory_back(self) -> None:
        pool = self.pool(16 * MIB)
        read = pool.allocator.read
        pool.fill(self.lengths(6, PAGE))
        before = process_bytes()
        held = pool.allocator.resident_bytes()
        pool.allocator.close()
        assert before - process_bytes() > held - MIB
        del read

    def test_a_handle_that_is_not_allocated(self) -> None:
        pool = self.pool()
        handles = [pool.alloc(200) for _ in range(300)]
        for handle in handles[:150]:
            pool.free(handle)
        unknown = set(handles[:150]) | {-1, -(2**31), max(handles) + 1, 2**31, 2**32 - 1}
        for handle in unknown:
            with pytest.raises(ValueError, match="not allocated"):
                pool.allocator.free(handle)
            with pytest.raises(ValueError, match="not allocated"):
                pool.allocator.read(handle, 1)
            with pytest.raises(ValueError, match="not allocated"):
                pool.allocator.copy_into(handle, 1, memoryview(bytearray(8)), 0)
        pool.check()
        for _ in range(400):
            pool.alloc(200)
        pool.check()
        pool.free_all()
        assert pool.allocator.pool_bytes == 0

    def test_no_object_reaches_past_its_room(self) -> None:
        pool = self.pool()
        handles = [pool.alloc(length) for length in (1, 100, 1000, pool.allocator.max_size)]
        for handle in handles:
            for length in (-1, pool.allocator.max_size + 1, 2**40):
                with pytest.raises(ValueError, match="bytes of an object"):
                    pool.allocator.read(handle, length)
                with pytest.raises(ValueError, match="bytes of an object"):
                    pool.allocator.copy_into(handle, length, memoryview(bytearray(PAGE)), 0)
        with pytest.raises(ValueError):  # noqa: PT011 - memoryview's own words
            pool.allocator.copy_into(handles[2], 1000, memoryview(bytearray(999)), 0)
        pool.check()

    def test_compaction_keeps_handles_and_bytes(self) -> None:
        pool = self.pool(4 * MIB)
        pool.fill(self.lengths(7, pool.allocator.max_size))
        rng = random.Random(8)
        while len(pool.stored) > 20:
            for handle in rng.sample(sorted(pool.stored), len(pool.stored) // 3):
                pool.free(handle)
            pool.compact()
            pool.check()
            assert pool.compact() == 0, "one compaction leaves work for the next"
            for length in (50, 500, 1500):
                pool.alloc(length)
            pool.check()
        pool.free_all()
        assert pool.compact() == 0
        pool.check()

    def test_no_call_costs_more_in_a_pool_of_many(self) -> None:
        few, many = (_Crowd(self.pool(1 << 30).allocator, size) for size in (FEW, MANY))
        for name in ("read", "copy_into", "free", "alloc"):
            assert_flat(name, getattr(few, name), getattr(many, name))
        for one in (few, many):
            one.allocator.close()

    def test_against_a_model(self) -> None:
        contract = self

        class Machine(AllocatorMachine):
            def open(self) -> Pool:
                return contract.pool()

        run_state_machine_as_test(Machine, settings=self.settings(steps=40))


class AllocatorTests(WholePipelineTests, AllocatorContract):
    """Proves an allocator: subclass it as `TestYours` and set `plugin`."""


class _Crowd:
    """An allocator with so many small objects, and calls that it may be asked."""

    def __init__(self, allocator: Allocator, size: int) -> None:
        self.allocator = allocator
        rng = random.Random(12)
        self._objects = cycle([rng.randbytes(rng.randint(_SHORT, 100)) for _ in range(97)])
        self._handles: deque[int] = deque()
        self._out = memoryview(bytearray(PAGE))
        for _ in range(size):
            self.alloc()
        self._handles = deque(rng.sample(self._handles, size))

    def alloc(self) -> None:
        handle = self.allocator.alloc(next(self._objects))
        assert handle != -1
        self._handles.append(handle)

    def free(self) -> None:
        self.allocator.free(self._handles.pop())

    def read(self) -> None:
        self.allocator.read(self._another(), _SHORT)

    def copy_into(self) -> None:
        self.allocator.copy_into(self._another(), _SHORT, self._out, 0)

    def _another(self) -> int:
        self._handles.rotate()
        return self._handles[0]


class AllocatorMachine(RuleBasedStateMachine):
    """Any order of calls, with a copy of every object beside the pool."""

    def open(self) -> Pool:
        raise TypeError("a subclass opens the pool")

    @initialize()
    def start(self) -> None:
        self.pool = self.open()
        self.top = self.pool.allocator.max_size

    @rule(share=st.floats(0, 1), objects=st.integers(1, 40))
    def alloc(self, share: float, objects: int) -> None:
        for _ in range(objects):
            self.pool.alloc(1 + round(share * (self.top - 1)))

    @rule(data=st.data())
    @precondition(lambda self: self.pool.stored)
    def free_one(self, data: st.DataObject) -> None:
        self.pool.free(data.draw(st.sampled_from(sorted(self.pool.stored))))

    @rule(seed=st.integers(0, 999), share=st.sampled_from([0.2, 0.5, 0.9, 1.0]))
    def free_many(self, seed: int, share: float) -> None:
        stored = sorted(self.pool.stored)
        for handle in random.Random(seed).sample(stored, int(len(stored) * share)):
            self.pool.free(handle)

    @rule()
    def compact(self) -> None:
        self.pool.compact()

    @rule(pages=st.integers(1, 200))
    def others_take(self, pages: int) -> None:
        if self.pool.budget.take(pages * PAGE):
            self.pool.others += pages * PAGE

    @rule()
    def others_give(self) -> None:
        self.pool.budget.give(self.pool.others)
        self.pool.others = 0

    @invariant()
    def all_is_as_it_was_stored(self) -> None:
        self.pool.check()

    def teardown(self) -> None:
        self.pool.check()
        self.pool.free_all()
        assert self.pool.allocator.pool_bytes == 0
        assert self.pool.allocator.resident_bytes() == 0
        assert self.pool.budget.used == self.pool.others
