"""Whether what leaves the pool is what was coldest: inversions and the share of young victims."""

from __future__ import annotations

from itertools import islice

from coldpress.roles.policy import Policy

_REFRESH = 8  # the order is walked again after an eighth of its length was selected


class Ranks:
    """Counts victims that were not the coldest, and those from the younger half of the order.

    The coldest slot's rank is known. For another the older half is remembered, as it stood a short
    while ago: exact ranks would cost a walk for each victim. The first after that walk is not
    ranked, since it had left the order already.

    Attributes: `inversions`, selections while an older slot could have been selected.

    Notes: not thread-safe; the pipeline calls under its lock.
    """

    def __init__(self, policy: Policy) -> None:
        self.inversions = 0
        self._policy = policy
        self._ranked = 0
        self._young = 0
        self._older: frozenset[int] = frozenset()
        self._good_for = 0

    def follow(self, policy: Policy) -> None:
        """Victims are selected by this policy from now on."""
        self._policy = policy
        self._good_for = 0

    def selected(self, slot: int, coldest: int) -> None:
        """A victim was selected, and the policy had named another or the same as the coldest."""
        self._good_for -= 1
        if slot == coldest:
            self._ranked += 1
            return
        self.inversions += 1
        if self._good_for <= 0:
            count = len(self._policy)
            self._older = frozenset(islice(self._policy.order(), (count + 1) // 2))
            self._good_for = count // _REFRESH
            return
        self._ranked += 1
        self._young += slot not in self._older

    @property
    def young_share(self) -> float:
        """The share of the ranked victims that were in the younger half; 0 before the first."""
        return self._young / self._ranked if self._ranked else 0.0
