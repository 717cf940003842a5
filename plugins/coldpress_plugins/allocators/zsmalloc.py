"""The zsmalloc allocator: objects of like size share a zspage."""

from __future__ import annotations

import attrs

import coldpress
from coldpress import PoolBudget
from coldpress_plugins.allocators.pooled import PooledAllocator
from coldpress_plugins.allocators.zspool import ZsPool


def _chain(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= 16:
        raise ValueError(f"must be from 1 to 16, got {value}")


@attrs.define(slots=False, eq=False, kw_only=True)
class Zsmalloc(PooledAllocator):
    """Objects of like size share zspages of up to `chain` pages, as in Linux; compacts."""

    name = "zsmalloc"
    chain: int = coldpress.option(
        default=8, help="most pages in a zspage, 1 to 16", validator=_chain
    )

    def largest_grant(self, page_size: int) -> int:
        return self.chain * page_size

    def make_pool(self, budget: PoolBudget, page_size: int) -> ZsPool:
        return ZsPool(budget, page_size, self.chain)
