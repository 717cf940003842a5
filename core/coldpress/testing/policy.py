"""What every policy promises, whatever its order is.

The checks know no policy's rule. They keep the set of the slots that must be known, and hold what
the policy does against what it said before: `order` is its word, `evict` and the others must keep
it.
"""

from __future__ import annotations

import gc
import random
import sys
from collections import deque
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.roles import Policy
from coldpress.testing.cost import FEW, MANY, assert_flat
from coldpress.testing.histories import (
    SLOTS,
    Call,
    Driven,
    History,
    any_slot,
    histories,
    long_history,
)
from coldpress.testing.kit import Kit
from coldpress.testing.memory import MIB, process_bytes
from coldpress.testing.whole import WholePipelineTests

_MOST_SLOTS = 2**32 - 2


class PolicyContract(Kit):
    """The checks of the role alone."""

    role = "policy"
    plugin: ClassVar[type[Policy]]

    def opened(self, slots: int = SLOTS) -> Policy:
        policy: Policy = self.make()
        policy.open(slots)
        return policy

    def repeated(self, calls: list[Call], slots: int) -> Policy:
        """A new policy to which the same was done, and which said the same."""
        policy = self.opened(slots)
        for name, args, result in calls:
            assert getattr(policy, name)(*args) == result, f"{name} was said to give {result}"
        return policy

    def test_a_long_history_keeps_each_slot_once(self) -> None:
        driven = Driven(self.opened())
        driven.run(long_history(1))
        driven.drain()

    def test_any_history_keeps_each_slot_once(self) -> None:
        @self.settings()
        @given(histories)
        def check(history: History) -> None:
            driven = Driven(self.opened())
            driven.check()
            driven.run(history)
            driven.drain()
            driven.insert(3)
            assert driven.check() == [3]

        check()

    def test_looks_at_the_order_change_nothing_that_comes(self) -> None:
        driven = Driven(self.opened())
        driven.run(long_history(2))
        unseen = self.repeated(driven.calls, SLOTS)
        assert list(unseen.order()) == driven.check()

    def test_a_renamed_object_is_known_as_well_as_before(self) -> None:
        some = st.lists(any_slot, max_size=SLOTS)

        @self.settings()
        @given(histories, some, some)
        def check(history: History, renamed: list[int], touched: list[int]) -> None:
            driven = Driven(self.opened(2 * SLOTS))
            driven.run(history)
            policy, twin = driven.policy, self.repeated(driven.calls, 2 * SLOTS)
            called = {slot: slot for slot in driven.known}
            for slot in {*renamed} & driven.known:
                called[slot] = SLOTS + slot
                policy.rename(slot, SLOTS + slot)
            for slot in touched:
                twin.touch(slot)
                policy.touch(called.get(slot, slot))
            assert list(policy.order()) == [called[slot] for slot in twin.order()]

        check()

    @pytest.mark.parametrize("warm", [False, True])
    def test_a_restored_slot_is_next_whatever_was_inserted_since(self, warm: bool) -> None:
        policy = self.opened(256)
        for slot in range(64):
            policy.insert(slot, warm=slot % 3 == 0)
            policy.touch(slot // 2)
        victims = [policy.evict() for _ in range(20)]
        for slot in range(64, 200):
            policy.insert(slot, warm=warm)
            policy.touch(slot - slot % 3)
        for slot in reversed(victims):
            policy.restore(slot)
        assert [policy.evict() for _ in victims] == victims

    def test_a_restored_slot_may_have_another_name(self) -> None:
        policy = self.opened(64)
        for slot in range(16):
            policy.insert(slot)
        for _ in range(3):
            policy.evict()
        policy.restore(40)
        assert policy.coldest() == next(policy.order()) == 40
        policy.rename(40, 41)
        assert policy.coldest() == policy.evict() == 41
        assert len(policy) == 13

    @pytest.mark.parametrize("slots", [1, 2, 300])
    def test_the_first_and_the_last_slot(self, slots: int) -> None:
        policy = self.opened(slots)
        ends = sorted({0, slots - 1})
        for slot in ends:
            policy.insert(slot)
            policy.touch(slot)
        assert sorted(policy.order()) == ends
        assert sorted(policy.evict() for _ in ends) == ends
        for slot in ends:
            policy.restore(slot)
        for slot in ends:
            policy.remove(slot)
        assert len(policy) == 0
        assert policy.evict() == policy.coldest() == -1

    def test_two_of_them_share_nothing(self) -> None:
        one, other = self.opened(64), self.opened(64)
        for slot in range(40):
            one.insert(slot)
            other.insert(63 - slot)
        for slot in range(0, 40, 3):
            one.touch(slot)
            other.remove(63 - slot)
        order = list(one.order())
        while other.evict() >= 0:
            pass
        assert list(one.order()) == order
        assert len(one) == 40

    def test_a_slot_costs_no_python_object(self) -> None:
        count = 1 << 13
        numbers = list(range(2 * count))  # what the callers hold of them costs nothing more
        gc.collect()
        before = sys.getallocatedblocks()
        policy = self.opened(2 * count)
        for slot in numbers:
            policy.insert(slot, warm=slot % 3 == 0)
            policy.touch(slot)
            if slot % 2:
                policy.evict()
        gc.collect()
        grown = sys.getallocatedblocks() - before
        assert len(policy) == count
        assert grown < count // 16, f"{grown} objects for {count} slots"

    def test_the_tables_are_as_large_as_it_says(self) -> None:
        slots = 300_000
        before = process_bytes()
        policy = self.opened(slots)
        for slot in range(slots):
            policy.insert(slot)
        grown = process_bytes() - before
        said = policy.metadata_bytes
        assert grown < said + MIB, f"{grown} bytes are in use, metadata_bytes says {said}"
        assert 0 < said < 256 * slots

    def test_slots_that_are_not_used_cost_nothing(self) -> None:
        if Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2":
            pytest.skip("this system counts address space as memory")
        before = process_bytes()
        policy = self.opened(_MOST_SLOTS)
        ends = [0, 1 << 20, _MOST_SLOTS - 1]
        for slot in ends:
            policy.insert(slot)
        assert sorted(policy.evict() for _ in ends) == ends
        assert process_bytes() - before < MIB
        assert policy.metadata_bytes < MIB

    def test_no_call_costs_more_among_many_slots(self) -> None:
        few, many = (_Filled(self.opened(4 * size), size) for size in (FEW, MANY))
        for names in (["insert", "touch", "remove", "rename"], ["coldest"], ["evict", "restore"]):
            for one in (few, many):
                one.touch_all()
            for name in names:
                assert_flat(name, getattr(few, name), getattr(many, name))


class PolicyTests(WholePipelineTests, PolicyContract):
    """Proves a policy: subclass it as `TestYours` and set `plugin`."""


class _Filled:
    """A policy that knows `size` slots of four times as many, and calls that it may be asked."""

    def __init__(self, policy: Policy, size: int) -> None:
        self.coldest = policy.coldest
        self._policy = policy
        self._known = deque(random.Random(1).sample(range(size), size))
        self._fresh = iter(range(size, 4 * size))
        self._victims: list[int] = []
        for slot in self._known:
            policy.insert(slot)
        random.Random(2).shuffle(self._known)

    def touch_all(self) -> None:
        for slot in self._known:
            self._policy.touch(slot)

    def insert(self) -> None:
        self._known.append(slot := next(self._fresh))
        self._policy.insert(slot)

    def touch(self) -> None:
        self._known.rotate()
        self._policy.touch(self._known[0])

    def remove(self) -> None:
        self._policy.remove(self._known.popleft())

    def rename(self) -> None:
        self._known.append(new := next(self._fresh))
        self._policy.rename(self._known.popleft(), new)

    def evict(self) -> None:
        self._victims.append(self._policy.evict())

    def restore(self) -> None:
        self._policy.restore(self._victims.pop())
