"""The built-in policies: the common contract, then each against a model, slow and plain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_models import ClockModel, FifoModel, LruModel, Model, S3FifoModel, SieveModel

from coldpress import Percent, Policy, SlotList
from coldpress.testing.histories import SLOTS, Driven, History, histories
from coldpress.testing.policy import PolicyContract, PolicyTests
from coldpress_plugins.policies.clock import Clock
from coldpress_plugins.policies.fifo import Fifo
from coldpress_plugins.policies.lru import Lru
from coldpress_plugins.policies.s3fifo import S3Fifo
from coldpress_plugins.policies.sieve import Sieve

POLICIES: dict[str, tuple[Callable[[], Policy], Callable[[], Model]]] = {
    "lru": (Lru, LruModel),
    "fifo": (Fifo, FifoModel),
    "clock": (Clock, ClockModel),
    "sieve": (Sieve, SieveModel),
    "s3fifo": (S3Fifo, S3FifoModel),
    "s3fifo 30%": (
        lambda: S3Fifo(small=Percent(0.3)),
        lambda: S3FifoModel(small=Fraction(3, 10)),
    ),
    "s3fifo 0%": (lambda: S3Fifo(small=Percent(0.0)), lambda: S3FifoModel(small=Fraction(0))),
    "s3fifo 100%": (lambda: S3Fifo(small=Percent(1.0)), lambda: S3FifoModel(small=Fraction(1))),
}
every_policy = pytest.mark.parametrize("name", POLICIES)


class TestLru(PolicyTests):
    plugin = Lru


class TestFifo(PolicyTests):
    plugin = Fifo


class TestClock(PolicyTests):
    plugin = Clock


class TestSieve(PolicyTests):
    plugin = Sieve


class TestS3Fifo(PolicyTests):
    plugin = S3Fifo


class TestS3FifoOfALargeSmallQueue(PolicyContract):
    plugin = S3Fifo
    options: ClassVar[dict[str, Any]] = {"small": "60%"}


def opened(name: str, slots: int) -> Policy:
    policy = POLICIES[name][0]()
    policy.open(slots)
    return policy


class Mirrored(Policy):
    """A policy and its model as one: what is done to it is done to both, and both say the same."""

    def __init__(self, policy: Policy, model: Model) -> None:
        self.policy = policy
        self.model = model

    def open(self, slots: int) -> None:
        self.policy.open(slots)

    def insert(self, slot: int, warm: bool = False) -> None:
        self.policy.insert(slot, warm)  # the models do not know what to refuse
        self.model.insert(slot, warm)

    def touch(self, slot: int) -> None:
        self.policy.touch(slot)
        self.model.touch(slot)

    def remove(self, slot: int) -> None:
        self.policy.remove(slot)
        self.model.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        self.policy.rename(slot, new)
        self.model.rename(slot, new)

    def restore(self, slot: int) -> None:
        self.policy.restore(slot)
        self.model.restore(slot)

    def evict(self) -> int:
        slot = self.policy.evict()
        assert slot == self.model.evict()
        return slot

    def coldest(self) -> int:
        slot = self.policy.coldest()
        assert slot == self.model.coldest()
        return slot

    def order(self) -> Iterator[int]:
        order = list(self.policy.order())
        assert order == self.model.prediction()
        if isinstance(self.policy, S3Fifo) and isinstance(self.model, S3FifoModel):
            assert self.policy.ghosts == len(self.model.g)
        return iter(order)

    def __len__(self) -> int:
        assert len(self.policy) == len(self.model.known)
        return len(self.policy)

    @property
    def metadata_bytes(self) -> int:
        return self.policy.metadata_bytes


def driven(name: str) -> Driven:
    return Driven(Mirrored(opened(name, SLOTS), POLICIES[name][1]()))


@every_policy
@given(history=histories)
def test_policy_against_model(name: str, history: History) -> None:
    both = driven(name)
    both.run(history)
    both.drain()


@every_policy
@given(history=histories, count=st.integers(1, SLOTS))
def test_given_back_victims_leave_the_order_as_it_was(
    name: str, history: History, count: int
) -> None:
    # More than the role promises, that only the victims themselves are where they were.
    both = driven(name)
    both.run(history)
    before = both.check()
    both.taken.clear()
    both.evict(count)
    both.undo(count)
    assert both.check() == before


@every_policy
def test_a_slot_costs_nine_bytes_at_most(name: str) -> None:
    count = 1 << 15
    policy = opened(name, 1 << 18)
    for slot in range(count):
        policy.insert(slot, warm=slot % 2 == 0)
        policy.touch(slot)
    filled = policy.metadata_bytes
    width = 8 if name in ("lru", "fifo") else 9  # two links, and a byte of the policy's own
    assert width * count <= filled <= width * count + 4 * 4096
    for _ in range(count):
        policy.evict()
    assert policy.metadata_bytes == filled


@pytest.mark.parametrize("warm", [False, True])
def test_a_renamed_slot_is_still_a_victim_that_was_given_back(warm: bool) -> None:
    policy = S3Fifo()
    policy.open(64)
    for slot in range(20):
        policy.insert(slot, warm=warm)
    assert policy.evict() == 0
    for slot in range(20, 60):  # the other queue would give the next victim
        policy.insert(slot, warm=not warm)
    if not warm:
        for slot in range(2, 20):
            policy.remove(slot)
    policy.restore(0)
    policy.rename(0, 60)
    assert next(policy.order()) == 60
    policy.touch(60)
    assert next(policy.order()) != 60  # as good as a ghost's slot
    assert list(policy.order())[-1] == 60


def test_links_cost_eight_bytes_a_slot() -> None:
    slots = 1 << 18
    listed = SlotList(slots)
    assert listed.metadata_bytes <= 4 * 4096  # nothing but the sentinels was touched
    for slot in range(1 << 14):
        listed.push_head(slot)
    assert listed.metadata_bytes <= (8 << 14) + 4 * 4096
    assert len(listed) == 1 << 14
    assert listed.has(5)
    assert not listed.has(1 << 14)
    with pytest.raises(ValueError, match="out of range"):
        listed.push_tail(slots)


def test_a_slot_goes_behind_any_other() -> None:
    listed = SlotList(8)
    listed.push_behind(1, -1)
    listed.push_behind(2, 1)
    listed.push_behind(3, 1)
    listed.push_behind(4, -1)
    assert list(listed.from_tail()) == [2, 3, 1, 4]
    for slot, neighbour, why in [
        (3, 1, "3 is in"),
        (8, 1, "out of"),
        (5, 6, "6 is"),
        (5, 8, "8 is"),
    ]:
        with pytest.raises(ValueError, match=why):
            listed.push_behind(slot, neighbour)
    assert list(listed.from_tail()) == [2, 3, 1, 4]


def test_a_slot_takes_anothers_place_in_the_list() -> None:
    listed = SlotList(8)
    assert not listed.rename(1, 2)
    listed.push_head(1)
    assert listed.rename(1, 2)  # alone
    listed.push_head(3)
    listed.push_head(4)
    for slot, new in ((2, 5), (3, 6), (4, 7)):  # at the tail, in between, at the head
        assert listed.rename(slot, new)
        assert not listed.has(slot)
    assert list(listed.from_tail()) == [5, 6, 7]
    assert [listed.before(slot) for slot in (5, 6, 7)] == [6, 7, -1]
    for new, why in [(6, "6 is in"), (5, "5 is in"), (8, "out of"), (-1, "out of")]:
        with pytest.raises(ValueError, match=why):
            listed.rename(5, new)
    for slot in (2, 8, -1):
        assert not listed.rename(slot, 5)
        assert not listed.rename(slot, 0)
    listed.push_head(2)
    listed.push_behind(3, 5)
    assert listed.remove(6)
    assert list(listed.from_tail()) == [3, 5, 7, 2]
    assert len(listed) == 4
