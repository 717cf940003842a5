"""The zbud allocator: at most two objects a page."""

from __future__ import annotations

import attrs

from coldpress import PoolBudget
from coldpress_plugins.allocators.pooled import PooledAllocator
from coldpress_plugins.allocators.zbudpool import ZbudPool


@attrs.define(slots=False, eq=False, kw_only=True)
class Zbud(PooledAllocator):
    """At most two objects a page, one at each end, as in Linux up to 6.14; nothing moves.

    An object shares a page if it leaves room for a header and a buddy, a 64th of a page each. Linux
    refuses larger ones; here they take a whole page, so an object may be as long as the page.
    Handles stand for places, so `compact` finds nothing to do and returns 0.
    """

    name = "zbud"

    def make_pool(self, budget: PoolBudget, page_size: int) -> ZbudPool:
        return ZbudPool(budget, page_size)
