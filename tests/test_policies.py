"""Every policy against a model that is slow and plain."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_models import ClockModel, FifoModel, LruModel, Model, S3FifoModel, SieveModel

from coldpress import Percent, Policy, SlotList
from coldpress_plugins.policies.clock import Clock
from coldpress_plugins.policies.fifo import Fifo
from coldpress_plugins.policies.lru import Lru
from coldpress_plugins.policies.s3fifo import S3Fifo
from coldpress_plugins.policies.sieve import Sieve

SLOTS = 16
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

slots = st.integers(0, SLOTS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["insert", "warm", "touch", "remove", "pick"]), slots),
        st.tuples(st.sampled_from(["touch", "heat"]), slots),
        st.tuples(st.just("rename"), st.integers(0, SLOTS**2 - 1)),
        st.tuples(st.just("rename_coldest"), slots),
        st.tuples(st.sampled_from(["evict", "undo", "give_back", "peek"]), st.integers(1, 4)),
    ),
    max_size=60,
)


def opened(name: str, slots: int) -> Policy:
    policy = POLICIES[name][0]()
    policy.open(slots)
    return policy


class Both:
    """A policy and its model, driven together and compared after each step."""

    def __init__(self, name: str) -> None:
        self.policy = opened(name, SLOTS)
        self.model = POLICIES[name][1]()
        self.taken: list[int] = []  # unchanged since they left: they may be given back

    def insert(self, slot: int, warm: bool = False) -> None:
        if slot in self.model.known:
            with pytest.raises(ValueError, match="in the list"):
                self.policy.insert(slot, warm)
        else:
            self.policy.insert(slot, warm)
            self.model.insert(slot, warm)
            if slot in self.taken:
                self.taken.remove(slot)

    def warm(self, slot: int) -> None:
        self.insert(slot, warm=True)

    def touch(self, slot: int) -> None:
        self.policy.touch(slot)
        self.model.touch(slot)

    def heat(self, slot: int) -> None:
        for _ in range(4):
            self.touch(slot)

    def remove(self, slot: int) -> None:
        self.policy.remove(slot)
        self.model.remove(slot)

    def rename(self, pair: int) -> None:
        slot, new = divmod(pair, SLOTS)
        if slot in self.model.known and new in self.model.known:
            with pytest.raises(ValueError, match="in the list"):
                self.policy.rename(slot, new)
        else:
            self.policy.rename(slot, new)
            self.model.rename(slot, new)
            if new in self.model.known and new in self.taken:
                self.taken.remove(new)

    def rename_coldest(self, new: int) -> None:
        """Where hands and tails are."""
        for slot in self.model.prediction()[:1]:
            self.rename(slot * SLOTS + new)

    def evict(self, count: int = 1) -> None:
        for _ in range(count):
            slot = self.policy.evict()
            assert slot == self.model.evict()
            if slot >= 0:
                self.taken.append(slot)

    def pick(self, slot: int) -> None:
        """A slot leaves together with a victim, though it is none itself."""
        if slot in self.model.known:
            self.remove(slot)
            self.taken.append(slot)

    def undo(self, count: int = 1) -> None:
        """Give the latest victims back; they are the next ones again, whatever happened since."""
        back = self.taken[-count:]
        for _ in back:
            self.give_back(-1)
        assert list(self.policy.order())[: len(back)] == back

    def give_back(self, at: int) -> None:
        if self.taken:
            slot = self.taken.pop(at % len(self.taken))
            self.policy.restore(slot)
            self.model.restore(slot)
            assert self.policy.coldest() == self.model.coldest() == slot

    def peek(self, _: int) -> None:
        before = list(self.policy.order())
        assert self.policy.coldest() == self.model.coldest() == next(iter(before), -1)
        assert list(self.policy.order()) == before

    def compare(self) -> None:
        assert len(self.policy) == len(self.model.known)
        assert list(self.policy.order()) == self.model.prediction()
        if isinstance(self.policy, S3Fifo) and isinstance(self.model, S3FifoModel):
            assert self.policy.ghosts == len(self.model.g)


@every_policy
@given(steps=steps)
def test_policy_against_model(name: str, steps: list[tuple[str, int]]) -> None:
    both = Both(name)
    both.compare()
    for slot in range(0, SLOTS, 2):
        both.insert(slot)
    for step, number in steps:
        getattr(both, step)(number)
        both.compare()
    expected = list(both.policy.order())
    assert [both.policy.evict() for _ in expected] == expected
    assert both.policy.evict() == -1
    assert list(both.policy.order()) == []


@every_policy
@given(steps=steps, count=st.integers(1, SLOTS))
def test_given_back_victims_leave_the_order_as_it_was(
    name: str, steps: list[tuple[str, int]], count: int
) -> None:
    both = Both(name)
    for slot in range(SLOTS):
        both.insert(slot)
    for step, number in steps:
        getattr(both, step)(number)
    before = list(both.policy.order())
    assert list(both.policy.order()) == before
    both.taken.clear()
    both.evict(count)
    both.undo(count)
    assert list(both.policy.order()) == before


@every_policy
def test_a_slot_costs_no_python_object(name: str) -> None:
    count = 1 << 12
    policy = opened(name, 2 * count)
    for slot in range(300, 600):  # past the small integers, which are there anyway
        policy.insert(slot)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for slot in range(600, 600 + count):
            policy.insert(slot, warm=slot % 3 == 0)
            policy.touch(slot)
            if slot % 2:
                policy.evict()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < count


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


@every_policy
def test_a_renamed_slot_keeps_its_place_and_the_former_one_is_free(name: str) -> None:
    policy = opened(name, SLOTS)
    for slot in range(8):
        policy.insert(slot, warm=slot % 3 == 0)
        policy.touch(slot // 2)
    policy.coldest()  # a hand leaves the tail
    for slot in range(8):
        before = list(policy.order())
        policy.rename(slot, 8 + slot)
        assert list(policy.order()) == [8 + slot if one == slot else one for one in before]
        policy.rename(slot, 8 + slot)  # unknown now
        with pytest.raises(ValueError, match="in the list"):
            policy.rename(8 + slot, before[0] if before[0] != slot else 8 + slot)
    assert len(policy) == 8
    for slot in range(8):
        policy.insert(slot)
    assert sorted(policy.order()) == list(range(SLOTS))


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
