from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.harness.errors import InputError
from coldpress.harness.workload import OPERATIONS_PER_PAGE, WRITES, parse_workload

SLOTS = 4000


@pytest.mark.parametrize("text", ["zipf:0.99", "zipf:0", "zipf:3", "scan", "uniform"])
def test_a_workload_is_the_same_each_time(text: str) -> None:
    workload = parse_workload(text, SLOTS)
    accesses = list(workload)
    assert accesses == list(workload) == list(parse_workload(text, SLOTS))
    assert len(accesses) == workload.total == OPERATIONS_PER_PAGE * SLOTS
    assert all(0 <= slot < workload.slots == SLOTS for slot, _ in accesses)
    assert sum(write for _, write in accesses) / len(accesses) == pytest.approx(WRITES, abs=0.03)
    assert workload.fill
    assert workload.name == text


def test_a_scan_goes_through_every_slot_in_turn() -> None:
    slots = [slot for slot, _ in parse_workload("scan", SLOTS)]
    assert slots == list(range(SLOTS)) * OPERATIONS_PER_PAGE


def test_uniform_prefers_no_slot() -> None:
    found = Counter(slot for slot, _ in parse_workload("uniform", SLOTS))
    assert max(found.values()) < 15  # Poisson with a mean of 2
    assert len(found) == pytest.approx(SLOTS * 0.865, rel=0.03)  # 1 - exp(-2)
    for quarter in range(4):
        part = sum(found[slot] for slot in range(quarter * SLOTS // 4, (quarter + 1) * SLOTS // 4))
        assert part == pytest.approx(SLOTS / 2, rel=0.1)


@pytest.mark.parametrize("theta", [0.5, 0.99, 1.5])
def test_zipf_frequencies_fall_with_their_rank(theta: float) -> None:
    found = Counter(slot for slot, _ in parse_workload(f"zipf:{theta}", SLOTS))
    top = [count for _, count in found.most_common(3)]
    whole = sum((rank + 1) ** -theta for rank in range(SLOTS))
    for rank, count in enumerate(top):
        mean = OPERATIONS_PER_PAGE * SLOTS * (rank + 1) ** -theta / whole
        assert count == pytest.approx(mean, rel=0.15, abs=25)


def test_zipf_ranks_are_dealt_out_over_the_slots() -> None:
    found = Counter(slot for slot, _ in parse_workload("zipf:0.99", SLOTS))
    hottest = [slot for slot, _ in found.most_common(400)]
    assert sum(slot < SLOTS // 2 for slot in hottest) == pytest.approx(200, abs=50)


@given(st.floats(0, 3), st.integers(1, 50))
def test_every_theta_and_every_number_of_slots(theta: float, slots: int) -> None:
    assert {slot for slot, _ in parse_workload(f"zipf:{theta}", slots)} <= set(range(slots))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zipf", "THETA from 0 to 3"),
        ("zipf:", "THETA from 0 to 3"),
        ("zipf:x", "THETA from 0 to 3"),
        ("zipf:nan", "THETA from 0 to 3"),
        ("zipf:-0.1", "THETA from 0 to 3"),
        ("zipf:3.1", "THETA from 0 to 3"),
        ("zipf:inf", "THETA from 0 to 3"),
        ("scan:1", "expected zipf:THETA, scan or uniform"),
        ("random", "expected zipf:THETA, scan or uniform"),
        ("", "expected zipf:THETA, scan or uniform"),
    ],
)
def test_a_wrong_workload_says_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_workload(text, SLOTS)
