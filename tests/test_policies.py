"""Every policy against a model that is slow and plain."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress import Policy, SlotList
from coldpress_plugins.policies.clock import Clock
from coldpress_plugins.policies.fifo import Fifo
from coldpress_plugins.policies.lru import Lru

SLOTS = 12
steps = st.lists(
    st.tuples(
        st.sampled_from(["insert", "warm", "touch", "remove", "evict", "undo"]),
        st.integers(0, SLOTS - 1),
    ),
    max_size=80,
)


class Model:
    """An OrderedDict of slot -> used bit, coldest first."""

    def __init__(self, policy: Policy) -> None:
        self.queue: OrderedDict[int, bool] = OrderedDict()
        self.moves = policy.name == "lru"
        self.bits = policy.name == "clock"

    def insert(self, slot: int, warm: bool) -> None:
        self.queue[slot] = warm and self.bits

    def touch(self, slot: int) -> None:
        if self.moves:
            self.queue.move_to_end(slot)
        elif self.bits:
            self.queue[slot] = True

    def evict(self) -> int:
        while self.queue:
            slot, used = self.queue.popitem(last=False)
            if not used:
                return slot
            self.queue[slot] = False
        return -1

    def restore(self, slot: int) -> None:
        self.queue[slot] = False
        self.queue.move_to_end(slot, last=False)


@pytest.mark.parametrize("kind", [Lru, Fifo, Clock])
@given(steps=steps)
def test_policy_against_model(kind: type[Policy], steps: list[tuple[str, int]]) -> None:
    policy = kind()
    policy.open(SLOTS)
    model = Model(policy)
    for step, slot in steps:
        known = slot in model.queue
        if step in ("insert", "warm"):
            if known:
                with pytest.raises(ValueError, match="in the list"):
                    policy.insert(slot)
            else:
                policy.insert(slot, step == "warm")
                model.insert(slot, step == "warm")
        elif step == "touch" and known:
            policy.touch(slot)
            model.touch(slot)
        elif step == "remove":
            policy.remove(slot)
            model.queue.pop(slot, None)
        elif step == "evict":
            assert policy.evict() == model.evict()
        elif step == "undo":
            first, second = policy.evict(), policy.evict()
            assert (first, second) == (model.evict(), model.evict())
            for one in (second, first):
                if one >= 0:
                    policy.restore(one)
                    model.restore(one)
        assert len(policy) == len(model.queue)
        assert set(policy.order()) == set(model.queue)
    expected = list(policy.order())
    assert [policy.evict() for _ in expected] == expected
    assert policy.evict() == -1


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
