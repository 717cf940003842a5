"""Whether a call costs the same, however much there is: what roles promise as O(1).

What is looked at is a *ratio*: the same call on FEW and on MANY objects, in one process, one batch
of calls after the other in turns, and the cheapest batch of each. A time in microseconds says
something of the machine and of who else uses it; a ratio says how the cost grows. What disturbs
a batch makes it dearer, never cheaper, so the cheapest of some is close to the bare cost. MANY is
128 times FEW. A call that looks at every object is as many times dearer, less what a call costs
anyway. Memory that is no longer in the processor's caches makes one two to four times dearer. The
factor that is allowed lies between. What is amortised passes too: a batch without its dear call
is among the cheapest.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FEW = 500
MANY = 64_000
CALLS_AT_MOST = 160
"""How often `assert_flat` makes either call, at most."""

_FACTOR = 16
_HOPELESS = 64  # no disturbance makes the cheapest of some batches as dear
_CALLS = 10  # a batch
_SURE = 5  # batches, before it is believed that a call is cheap
_BATCHES = CALLS_AT_MOST // _CALLS  # before it is believed that it is not


def assert_flat(what: str, few: Callable[[], object], many: Callable[[], object]) -> None:
    """Fail if a call costs much more among MANY objects than among FEW.

    Each of the two makes one such call, and can do so CALLS_AT_MOST times. `what` names it. The
    numbers may be others whose quotient is the same.
    """
    low = high = float("inf")
    for batches in range(1, _BATCHES + 1):
        low = min(low, _batch(few))
        high = min(high, _batch(many))
        if batches >= _SURE and high <= _FACTOR * low:
            return
        if batches >= _SURE and high > _HOPELESS * low:
            break
    raise AssertionError(
        f"{what} costs {high / low:.0f} times as much among many objects as among few"
    )


def _batch(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return time.perf_counter() - begun
