"""The kit, ARC against models that are slow and plain, and what its paper promises."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
from arc_model import ArcModel, PaperArc
from hypothesis import given
from hypothesis import strategies as st

from coldpress.testing import PolicyTests
from coldpress_arc import Arc

SLOTS = 16

slots = st.integers(0, SLOTS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["insert", "insert", "warm", "touch", "remove"]), slots),
        st.tuples(st.just("rename"), st.integers(0, SLOTS**2 - 1)),
        st.tuples(st.sampled_from(["rename_coldest", "rename_to_ghost"]), slots),
        st.tuples(st.sampled_from(["evict", "come_back", "give_back", "undo"]), st.integers(1, 4)),
    ),
    max_size=80,
)


class TestArc(PolicyTests):
    plugin = Arc


def opened(slots: int = SLOTS) -> Arc:
    policy = Arc()
    policy.open(slots)
    return policy


class Both:
    """The policy and its model, driven together and compared after each step."""

    def __init__(self) -> None:
        self.policy = opened()
        self.model = ArcModel()
        self.taken: list[int] = []  # unchanged since they left: they may be given back

    def insert(self, slot: int, warm: bool = False) -> None:
        if slot in self.model.known:
            with pytest.raises(ValueError, match="in the list"):
                self.policy.insert(slot, warm)
            return
        self.policy.insert(slot, warm)
        self.model.insert(slot, warm)
        if slot in self.taken:
            self.taken.remove(slot)

    def warm(self, slot: int) -> None:
        self.insert(slot, warm=True)

    def touch(self, slot: int) -> None:
        self.policy.touch(slot)
        self.model.touch(slot)

    def remove(self, slot: int) -> None:
        self.policy.remove(slot)
        self.model.remove(slot)

    def rename(self, pair: int) -> None:
        slot, new = divmod(pair, SLOTS)
        if slot in self.model.known and new in self.model.known:
            with pytest.raises(ValueError, match="in the list"):
                self.policy.rename(slot, new)
            return
        self.policy.rename(slot, new)
        self.model.rename(slot, new)
        if new in self.model.known and new in self.taken:
            self.taken.remove(new)

    def rename_coldest(self, new: int) -> None:
        for slot in self.model.prediction()[:1]:
            self.rename(slot * SLOTS + new)

    def evict(self, count: int = 1) -> None:
        for _ in range(count):
            expected = self.model.evict()
            assert self.policy.evict() == expected
            if expected >= 0:
                self.taken.append(expected)

    def come_back(self, at: int) -> None:
        """A slot that has a ghost, of either kind."""
        ghosts = (self.model.b1, self.model.b2)[at % 2]
        if ghosts:
            self.insert(ghosts[at % len(ghosts)])

    def rename_to_ghost(self, at: int) -> None:
        ghosts = [*self.model.b1, *self.model.b2]
        known = sorted(self.model.known)
        if ghosts and known:
            self.rename(known[at % len(known)] * SLOTS + ghosts[at % len(ghosts)])

    def give_back(self, at: int) -> None:
        if self.taken:
            slot = self.taken.pop(at % len(self.taken))
            self.policy.restore(slot)
            self.model.restore(slot)
            assert self.policy.coldest() == slot

    def undo(self, count: int) -> None:
        """The latest victims are the next ones again, whatever happened since."""
        back = self.taken[-count:]
        for _ in back:
            self.give_back(-1)
        assert list(self.policy.order())[: len(back)] == back

    def compare(self) -> None:
        expected = self.model.prediction()
        assert list(self.policy.order()) == expected
        assert self.policy.coldest() == next(iter(expected), -1)
        assert len(self.policy) == len(expected)
        assert self.policy.target == self.model.p
        assert self.policy.ghosts == len(self.model.b1) + len(self.model.b2)


@given(steps=steps)
def test_every_step_does_what_the_model_does(steps: list[tuple[str, int]]) -> None:
    both = Both()
    both.compare()
    for slot in range(SLOTS):
        both.insert(slot, warm=slot % 2 == 0)
    both.evict(SLOTS // 2)
    for step, number in steps:
        getattr(both, step)(number)
        both.compare()
    both.evict(SLOTS + 1)
    both.compare()


@given(steps=steps, count=st.integers(1, SLOTS))
def test_victims_given_back_leave_the_order_as_it_was(
    steps: list[tuple[str, int]], count: int
) -> None:
    both = Both()
    for slot in range(SLOTS):
        both.insert(slot)
    for step, number in steps:
        getattr(both, step)(number)
    before = list(both.policy.order())
    both.taken.clear()
    both.evict(count)
    both.undo(count)
    assert list(both.policy.order()) == before


# -- the paper's promises ---------------------------------------------------------------------


def misses(trace: list[int], room: int) -> int:
    """How many requests a pool of `room` objects does not serve."""
    policy = opened(max(trace) + 1)
    cached: set[int] = set()
    count = 0
    for slot in trace:
        if slot in cached:
            policy.touch(slot)
            continue
        count += 1
        policy.insert(slot)
        cached.add(slot)
        if len(policy) > room:
            cached.remove(policy.evict())
    return count


def lru_misses(trace: list[int], room: int) -> int:
    cached: OrderedDict[int, None] = OrderedDict()
    count = 0
    for slot in trace:
        if slot in cached:
            cached.move_to_end(slot)
            continue
        count += 1
        cached[slot] = None
        if len(cached) > room:
            cached.popitem(last=False)
    return count


def paper_misses(trace: list[int], room: int) -> int:
    cache = PaperArc(room)
    return sum(not cache.request(slot) for slot in trace)


def zipf(pages: int, requests: int) -> list[int]:
    """Requests whose k-th most popular page has a share of 1/k; always the same ones."""
    source = random.Random(1)
    order = list(range(pages))
    source.shuffle(order)
    return source.choices(order, [1 / rank for rank in range(1, pages + 1)], k=requests)


PAGES = 1000
ZIPF = zipf(PAGES, 12_000)


def with_scans(trace: list[int], scan: int) -> list[int]:
    """Between the requests, pages that are asked for once and never again."""
    mixed = []
    for number, slot in enumerate(trace):
        mixed.append(slot)
        if number % 600 == 0:
            first = PAGES + number // 600 * scan
            mixed += range(first, first + scan)
    return mixed


def with_loops(trace: list[int]) -> list[int]:
    """Between the requests, new pages that are each asked for twice, a while apart."""
    source = iter(trace)
    mixed = []
    for begin in range(PAGES, PAGES + 20 * 100, 100):
        for page in [*range(begin, begin + 100)] * 2:
            mixed += [page, next(source)]
    return mixed + list(source)


TRACES = {"zipf": ZIPF, "scans": with_scans(ZIPF, 300), "loops": with_loops(ZIPF)}


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
@pytest.mark.parametrize("room", [100, 300])
def test_it_misses_what_the_paper_s_misses(trace: list[int], room: int) -> None:
    expected = paper_misses(trace, room)
    assert abs(misses(trace, room) - expected) < 0.01 * expected


def test_scans_push_nothing_out_that_is_used_again() -> None:
    hot = list(range(60))
    trace = hot * 3
    for number in range(40):  # each scan is three times what there is room for
        trace += hot * 2 + list(range(1000 + number * 300, 1300 + number * 300))
    scanned = 40 * 300
    assert misses(trace, 100) - scanned < 0.1 * (lru_misses(trace, 100) - scanned)


def test_a_loop_that_is_longer_than_the_pool_is_not_all_misses() -> None:
    trace = list(range(120)) * 30
    assert lru_misses(trace, 100) == len(trace)
    mixed = [slot for page in trace for slot in (page, 200 + page % 50)]
    assert misses(mixed, 100) < 0.9 * lru_misses(mixed, 100)


def test_the_target_follows_the_accesses() -> None:
    policy = opened(4096)
    for slot in range(100):
        policy.insert(slot, warm=slot % 2 == 0)
    assert policy.target == 0
    early = [policy.evict() for _ in range(20)]
    assert all(slot % 2 for slot in early)  # used once
    for slot in early:
        policy.insert(slot)
    assert policy.target == 20
    for slot in range(200, 230):
        policy.insert(slot)
    early = [policy.evict() for _ in range(60)]
    late = [slot for slot in early if slot < 100 and slot % 2 == 0]
    assert late  # used twice, evicted for what was used once
    before = policy.target
    for slot in late:
        policy.insert(slot)
    assert policy.target < before


def test_the_target_is_no_more_than_what_a_smaller_pool_holds() -> None:
    policy = opened(4096)
    for slot in range(100):
        policy.insert(slot, warm=slot % 2 == 0)
    early = [policy.evict() for _ in range(40)]
    for slot in early:
        policy.insert(slot)
    assert policy.target == 40
    for slot in list(policy.order())[10:]:
        policy.remove(slot)
    assert policy.target == 40  # nothing has come back since
    late = policy.evict()
    assert late % 2 == 0  # used twice: the target is more than there is
    policy.insert(late)
    assert policy.target < len(policy) == 10


# -- tables -----------------------------------------------------------------------------------


def test_a_slot_costs_nine_bytes_and_its_ghost_eight_more() -> None:
    count = 1 << 14
    policy = opened(1 << 17)
    for slot in range(count):
        policy.insert(slot, warm=slot % 2 == 0)
        policy.touch(slot)
    filled, bare = policy.metadata_bytes, policy.ghost_bytes
    assert 9 * count <= filled <= 9 * count + 6 * 4096
    for _ in range(count // 2):
        policy.evict()
    assert policy.ghosts == count // 2
    assert policy.metadata_bytes == filled  # ghosts are reported apart
    assert policy.ghost_bytes > bare
    assert policy.ghost_bytes <= 8 * count + 6 * 4096


def test_as_an_object_comes_in_there_are_no_more_ghosts_than_objects() -> None:
    policy = opened(4096)
    most = 0
    for slot in range(4000):
        policy.insert(slot, warm=slot % 3 == 0)
        assert policy.ghosts <= len(policy)
        most = max(most, policy.ghosts)
        policy.touch(slot // 2)
        if len(policy) > 100:
            policy.evict()
    assert most == 101
    for slot in list(policy.order())[:50]:
        policy.remove(slot)
    policy.insert(4001)
    assert policy.ghosts <= len(policy) == 51
