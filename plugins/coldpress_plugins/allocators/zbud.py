"""The zbud allocator: at most two objects a page."""

from __future__ import annotations

import attrs

from coldpress import PoolBudget
from coldpress_plugins.allocators.pooled import PooledAllocator
from coldpress_plugins.allocators.zbudpool import ZbudPool


@attrs.define(slots=False, eq=False, kw_only=True)
class Zbud(PooledAllocator):
    """At most two objects a page, one at each end, as in Linux up to 6.14; nothing moves.

    A page is 64 chunks, of which the first is its header. Linux refuses an object that leaves no
    chunk for the header and one for a buddy; here it has the page to itself, the header's chunk
    included, so an object may be as long as the page. Handles stand for places, so `compact` finds
    nothing to do and returns 0.
    """

    name = "zbud"

    def make_pool(self, budget: PoolBudget, page_size: int) -> ZbudPool:
        return ZbudPool(budget, page_size)
