"""What the papers promise of SIEVE and S3-FIFO, on small traces and step by step."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from coldpress import Policy
from coldpress_plugins.policies.fifo import Fifo
from coldpress_plugins.policies.lru import Lru
from coldpress_plugins.policies.s3fifo import S3Fifo
from coldpress_plugins.policies.sieve import Sieve


def opened(policy: Policy, slots: int) -> Policy:
    policy.open(slots)
    return policy


def zipf(pages: int, requests: int) -> list[int]:
    """Requests whose k-th most popular page has a share of 1/k; always the same ones."""
    source = random.Random(1)
    order = list(range(pages))
    source.shuffle(order)
    return source.choices(order, [1 / rank for rank in range(1, pages + 1)], k=requests)


def misses(policy: Policy, trace: list[int], room: int) -> int:
    """How many requests a pool of `room` objects does not serve."""
    policy.open(max(trace) + 1)
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


PAGES = 2000
TRACE = zipf(PAGES, 30_000)


@pytest.mark.parametrize("kind", [Sieve, S3Fifo])
def test_fewer_misses_than_fifo_and_lru_on_zipf(kind: type[Policy]) -> None:
    found = misses(kind(), TRACE, PAGES // 10)
    assert found < 0.8 * misses(Fifo(), TRACE, PAGES // 10)
    assert found < 0.9 * misses(Lru(), TRACE, PAGES // 10)


def paper_misses(trace: list[int], room: int) -> int:
    """SOSP'23, algorithm 1, for a cache that holds `room` objects; oldest first."""
    small: OrderedDict[int, int] = OrderedDict()
    main: OrderedDict[int, int] = OrderedDict()
    ghosts: OrderedDict[int, None] = OrderedDict()
    room_of_small = room // 10
    room_of_main = room - room_of_small

    def evict_small() -> None:
        while small:
            slot, freq = small.popitem(last=False)
            if freq <= 1:
                ghosts[slot] = None
                if len(ghosts) > room_of_main:
                    ghosts.popitem(last=False)
                return
            main[slot] = 0
            if len(main) > room_of_main:
                evict_main()

    def evict_main() -> None:
        while main:
            slot, freq = main.popitem(last=False)
            if not freq:
                return
            main[slot] = freq - 1

    count = 0
    for slot in trace:
        queue = small if slot in small else main
        if slot in queue:
            queue[slot] = min(queue[slot] + 1, 3)
            continue
        count += 1
        into = main if slot in ghosts else small
        ghosts.pop(slot, None)
        while len(small) + len(main) >= room:
            if len(small) >= room_of_small:
                evict_small()
            else:
                evict_main()
        into[slot] = 0
    return count


def with_loops(trace: list[int]) -> list[int]:
    """Between the requests, thirty sets of new pages, each gone through twice."""
    source = iter(trace)
    mixed = []
    for begin in range(PAGES, PAGES + 30 * 150, 150):
        for page in [*range(begin, begin + 150)] * 2:
            mixed += [page, next(source)]
    return mixed + list(source)


@pytest.mark.parametrize("trace", [TRACE, with_loops(TRACE)], ids=["zipf", "loops"])
@pytest.mark.parametrize("room", [200, 600])
def test_s3fifo_misses_what_the_paper_s_misses(trace: list[int], room: int) -> None:
    # The paper's queues have fixed sizes, here they are shares, looked at after the insertion:
    # with equal objects that is all but the same.
    expected = paper_misses(trace, room)
    assert abs(misses(S3Fifo(), trace, room) - expected) < 0.005 * expected


# -- what sets the two apart ------------------------------------------------------------------


def test_the_hand_of_sieve_keeps_its_place() -> None:
    policy = opened(Sieve(), 16)
    for slot in range(6):
        policy.insert(slot)
    for slot in (0, 1, 3):
        policy.touch(slot)
    assert policy.evict() == 2  # past 0 and 1, which stay where they are
    policy.insert(6)
    assert policy.evict() == 4  # not 0 and 1, though they are older and no longer visited
    policy.remove(5)  # the slot under the hand
    assert list(policy.order()) == [6, 0, 1, 3]
    assert policy.evict() == 6  # the newest: the hand came to it
    assert list(policy.order()) == [0, 1, 3]


def test_a_scan_does_not_empty_the_main_queue_of_s3fifo() -> None:
    policy = opened(S3Fifo(), 1000)
    for slot in range(9):
        policy.insert(slot, warm=True)
    for slot in range(100, 900):
        policy.insert(slot)
        if len(policy) > 10:
            assert policy.evict() >= 100
    assert set(policy.order()) >= set(range(9))


def test_main_of_s3fifo_counts_three_loads() -> None:
    policy = opened(S3Fifo(), 8)
    for slot, loads in enumerate([5, 3, 2, 1, 0]):
        policy.insert(slot, warm=True)
        for _ in range(loads):
            policy.touch(slot)
    assert list(policy.order()) == [4, 3, 2, 0, 1]


def test_a_ghost_is_of_a_slot_that_left_the_small_queue_and_is_not_back() -> None:
    policy = S3Fifo()
    policy.open(64)
    for slot in range(20):
        policy.insert(slot, warm=slot >= 3)
    assert [policy.evict() for _ in range(3)] == [0, 1, 3]
    assert policy.ghosts == 2
    policy.insert(0, warm=True)
    assert policy.ghosts == 1
    for slot in range(20, 30):  # so many that the small queue would give the next victim
        policy.insert(slot)
    policy.restore(3)
    assert (policy.evict(), policy.ghosts) == (3, 1)
    assert (policy.evict(), policy.ghosts) == (2, 2)
    for slot in range(20, 28):  # so few that the main queue would
        policy.remove(slot)
    for slot in range(30, 50):
        policy.insert(slot, warm=True)
    policy.restore(2)
    assert policy.ghosts == 1
    assert (policy.evict(), policy.ghosts) == (2, 2)


def test_ghosts_are_the_slots_that_left_the_small_queue_last() -> None:
    policy = S3Fifo()
    policy.open(1 << 16)
    count = 1 << 12
    for slot in range(count):
        policy.insert(slot)
    table, bare = policy.metadata_bytes, policy.ghost_bytes
    assert policy.ghosts == 0
    assert bare <= 4 * count + 4 * 4096  # one link of each was looked at
    victims = [policy.evict() for _ in range(count // 2)]
    assert policy.ghosts == len(victims)
    assert bare < policy.ghost_bytes <= bare + 4 * count
    assert policy.metadata_bytes == table  # the ghosts are reported apart
    policy.insert(count)
    assert policy.ghosts == count // 2 * 9 // 10  # the main queue's share of what is in the pool
    policy.insert(victims[0])  # its ghost was dropped: one of the new
    policy.insert(victims[-1])  # straight to the main queue
    assert list(policy.order())[-1] == victims[-1]
    assert list(policy.order()).index(victims[0]) == len(policy) - 2
    latest = policy.evict()
    ghosts = policy.ghosts
    policy.restore(latest)
    assert policy.ghosts == ghosts - 1
