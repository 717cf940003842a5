"""Workloads that need no trace: zipf, scan, uniform."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import attrs

from coldpress.harness.errors import InputError

OPERATIONS_PER_PAGE = 2
WRITES = 0.3
MAX_THETA = 3.0
_SEED = 0xC01D


@attrs.frozen
class Workload:
    """Accesses to `slots` slots: `OPERATIONS_PER_PAGE` each on average, `WRITES` of them writes.

    `theta` None: a scan, every slot in turn, again and again. Otherwise slots are drawn with a
    probability of 1 / rank**theta (0: all alike), the ranks being dealt out at random. The seed is
    fixed.

    Source: inverse of the cumulative distribution, as in Gray et al., "Quickly generating
    billion-record synthetic databases", SIGMOD 1994.
    """

    name: str
    slots: int
    theta: float | None
    fill: bool = attrs.field(default=True, init=False)

    @property
    def total(self) -> int:
        return OPERATIONS_PER_PAGE * self.slots

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        draw = random.Random(_SEED).random
        slots = self.slots
        if self.theta is None:
            for at in range(self.total):
                yield at % slots, draw() < WRITES
            return
        slot_of = array("Q", range(slots))
        for at in range(slots - 1, 0, -1):  # Fisher and Yates; random.shuffle may change
            other = int(draw() * (at + 1))
            slot_of[at], slot_of[other] = slot_of[other], slot_of[at]
        theta = self.theta
        cumulative = array("d", accumulate((rank + 1) ** -theta for rank in range(slots)))
        whole = cumulative[-1]
        for _ in range(self.total):
            rank = min(bisect_right(cumulative, draw() * whole), slots - 1)
            yield slot_of[rank], draw() < WRITES


def parse_workload(text: str, slots: int) -> Workload:
    """The workload that `text` ("zipf:0.99", "scan", "uniform") names, over so many slots.

    Raises `InputError`.
    """
    kind, _, parameter = text.partition(":")
    if text == "scan":
        return Workload(text, slots, None)
    if text == "uniform":
        return Workload(text, slots, 0.0)
    if kind != "zipf":
        raise InputError(f"--workload {text}: expected zipf:THETA, scan or uniform")
    try:
        theta = float(parameter)
    except ValueError:
        theta = -1.0
    if not 0 <= theta <= MAX_THETA:
        raise InputError(
            f"--workload {text}: expected a THETA from 0 to {MAX_THETA:g}, such as zipf:0.99"
        )
    return Workload(text, slots, theta)
