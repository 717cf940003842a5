"""Where the counters of a pipeline are kept, and how they become its `Stats`."""

from __future__ import annotations

import attrs

from coldpress.blockstore import BlockStore
from coldpress.budget import PoolBudget
from coldpress.cleaner import Cleaner
from coldpress.codecs import Codecs
from coldpress.entries import Entries
from coldpress.live import Live
from coldpress.loading import Loads
from coldpress.pools import Pools
from coldpress.promotion import Promotion
from coldpress.stats import Stats
from coldpress.swapcache import SwapCache
from coldpress.writeback import Writeback


@attrs.frozen(eq=False)
class Counted:
    """The parts of a pipeline that count something."""

    page_size: int
    entries: Entries
    store: BlockStore
    budget: PoolBudget
    codecs: Codecs
    pools: Pools
    writeback: Writeback
    cleaner: Cleaner
    live: Live
    promotion: Promotion
    cache: SwapCache
    loads: Loads

    def stats(self) -> Stats:
        """The counters, all of one moment; under the pipeline's lock."""
        self.pools.reap()
        entries, space, device = self.entries, self.store.space, self.store.counters
        pending = space.awaiting_bytes + entries.superseded_bytes
        return Stats(
            stored_pages=entries.stored,
            same_filled_pages=entries.counted_as("same_filled_pages"),
            incompressible_pages=entries.counted_as("incompressible_pages"),
            cached_pages=entries.counts[entries.cache_tag],
            cached_rewrites=self.cache.rewrites,
            compressed_bytes=entries.object_bytes,
            pool_bytes=self.budget.used,
            pool_bytes_peak=self.budget.peak,
            pool_limit=self.budget.limit,
            pool_limit_hit=self.budget.limit_hits,
            written_back_pages=self.writeback.counters.pages,
            writeback_blocks=device.writes,
            writeback_bytes=device.write_bytes,
            inversions=self.writeback.ranks.inversions,
            young_share=self.writeback.ranks.young_share,
            writeback_decompressions=self.writeback.counters.decompressions,
            device_reads=device.reads,
            device_read_bytes=device.read_bytes,
            refaults=self.loads.refaults,
            promoted_pages=self.promotion.pages,
            readahead_pages=self.promotion.along,
            clean_drops=self.writeback.counters.clean_drops,
            cleaned_blocks=self.cleaner.counters.blocks,
            cleaned_bytes=self.cleaner.counters.bytes,
            payload_bytes=device.written_payload,
            live_bytes=space.live_bytes - pending,
            dead_bytes=space.payload_bytes - space.live_bytes,
            pending_bytes=pending,
            device_bytes=space.pages * self.page_size,
            write_errors=device.errors,
            read_retries=self.store.rereads.retries,
            read_errors=self.store.rereads.errors,
            bad_blocks=space.bad,
            devices_away=sum(one.health.is_away for one in space.members),
            metadata_bytes=entries.metadata_bytes
            + self.pools.metadata_bytes
            + self.cache.metadata_bytes
            + space.metadata_bytes,
            reconfigurations=self.live.count,
            retired_pool_pages=self.pools.retired_pages,
            retired_codec_pages=(
                entries.origins.others(self.codecs.current[0]) if entries.origins else 0
            ),
        )
