"""Histories of a policy, and the set of the slots that it must know meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import strategies as st

from coldpress.roles import Policy

SLOTS = 16

History = list[tuple[str, int]]
Call = tuple[str, tuple[Any, ...], Any]

any_slot = st.integers(0, SLOTS - 1)
histories: st.SearchStrategy[History] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["insert", "warm", "touch", "remove", "leave"]), any_slot),
        st.tuples(st.sampled_from(["touch", "heat"]), any_slot),
        st.tuples(st.just("rename"), st.integers(0, SLOTS**2 - 1)),
        st.tuples(st.just("rename_coldest"), any_slot),
        st.tuples(st.sampled_from(["evict", "undo", "give_back", "peek"]), st.integers(1, 4)),
    ),
    max_size=60,
)
"""Names of methods of `Driven`, and their argument."""


class Driven:
    """A policy for SLOTS slots or more, and the set of those that it must know.

    Attributes: `known`; `calls`, what was called with which arguments and gave what; `taken`, slots
    that left and did not come back since.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.known: set[int] = set()
        self.calls: list[Call] = []
        self.taken: list[int] = []

    def run(self, history: History) -> None:
        """Go through a history, begun with half of the slots, and check after each step."""
        for slot in range(0, SLOTS, 2):
            self.insert(slot)
        for step, number in history:
            getattr(self, step)(number)
            self.check()

    def check(self) -> list[int]:
        """Every slot is known exactly once; the order."""
        order = list(self.policy.order())
        assert sorted(order) == sorted(self.known), "not every slot is in the order once"
        assert list(self.policy.order()) == order, "a look at the order changed it"
        assert len(self.policy) == len(self.known)
        return order

    def insert(self, slot: int, warm: bool = False) -> None:
        if slot in self.known:
            before = self.check()
            with pytest.raises(ValueError):  # noqa: PT011 - in the policy's own words
                self.policy.insert(slot, warm)
            assert self.check() == before, "a slot that was refused changed the order"
            return
        self._call("insert", slot, warm)
        self.known.add(slot)
        self._is_back(slot)

    def warm(self, slot: int) -> None:
        self.insert(slot, warm=True)

    def touch(self, slot: int) -> None:
        self._harmless_if_unknown(slot, "touch", slot)

    def heat(self, slot: int) -> None:
        for _ in range(4):
            self.touch(slot)

    def remove(self, slot: int) -> None:
        self._harmless_if_unknown(slot, "remove", slot)
        self.known.discard(slot)

    def leave(self, slot: int) -> None:
        """A slot leaves together with a victim, though it is none itself."""
        if slot in self.known:
            self.remove(slot)
            self.taken.append(slot)

    def rename(self, pair: int) -> None:
        slot, new = divmod(pair, SLOTS)
        before = self.check()
        if slot in self.known and new in self.known:
            with pytest.raises(ValueError):  # noqa: PT011 - in the policy's own words
                self.policy.rename(slot, new)
            assert self.check() == before, "a name that was refused changed the order"
            return
        self._harmless_if_unknown(slot, "rename", slot, new)
        if slot in self.known:
            self.known.remove(slot)
            self.known.add(new)
            self._is_back(new)
            expected = [new if one == slot else one for one in before]
            assert self.check() == expected, "a renamed slot lost its place"

    def rename_coldest(self, new: int) -> None:
        """Where hands and tails are."""
        for slot in self.check()[:1]:
            self.rename(slot * SLOTS + new)

    def evict(self, count: int = 1) -> None:
        for _ in range(count):
            before = self.check()
            slot = self._call("evict")
            assert slot == next(iter(before), -1), "the victim is not the first of the order"
            if slot >= 0:
                self.known.remove(slot)
                self.taken.append(slot)
                assert self.check() == before[1:], "the order was not as evict had it"

    def undo(self, count: int = 1) -> None:
        """Give the latest victims back; they are the next ones again, whatever happened since."""
        back = self.taken[-count:]
        for _ in back:
            self.give_back(-1)
        assert self.check()[: len(back)] == back

    def give_back(self, at: int) -> None:
        if self.taken:
            slot = self.taken.pop(at % len(self.taken))
            self._call("restore", slot)
            self.known.add(slot)
            assert self.check()[0] == slot, "a restored slot is not the next victim"

    def peek(self, _: int = 0) -> None:
        before = self.check()
        assert self._call("coldest") == next(iter(before), -1)
        assert self.check() == before, "a look at the coldest changed the order"

    def drain(self) -> None:
        """Take all victims: those and in the order that the policy said, then none."""
        for expected in self.check():
            assert self._call("evict") == expected
            self.known.remove(expected)
        for _ in range(2):
            assert self._call("evict") == self._call("coldest") == -1
        self.check()

    def _harmless_if_unknown(self, slot: int, name: str, *args: int) -> None:
        before = None if slot in self.known else self.check()
        self._call(name, *args)
        if before is not None:
            assert self.check() == before, f"{name} of an unknown slot changed the order"

    def _is_back(self, slot: int) -> None:
        if slot in self.taken:
            self.taken.remove(slot)

    def _call(self, name: str, *args: Any) -> Any:
        result = getattr(self.policy, name)(*args)
        self.calls.append((name, args, result))
        return result


def long_history(seed: int) -> History:
    """More than is tried by chance: what follows what, again and again."""
    steps = {
        **dict.fromkeys(["insert", "warm", "touch", "heat", "remove", "leave"], range(SLOTS)),
        "rename": range(SLOTS**2),
        "rename_coldest": range(SLOTS),
        **dict.fromkeys(["evict", "undo", "give_back", "peek"], range(1, 5)),
    }
    rng = random.Random(seed)
    return [(step, rng.choice(steps[step])) for step in rng.choices(list(steps), k=800)]
