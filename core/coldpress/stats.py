"""What `Pipeline.stats()` returns."""

from __future__ import annotations

import attrs


@attrs.frozen
class Stats:
    """A pipeline's counters, named as zswap's and zram's are.

    Those with *now* are the present state, the others count since the pipeline was opened.
    """

    stored_pages: int = attrs.field(metadata={"help": "slots that hold a page, now"})
    same_filled_pages: int = attrs.field(
        metadata={"help": "of these, pages kept as a fill word in the table, now"}
    )
    incompressible_pages: int = attrs.field(
        metadata={"help": "of these, pages that did not shrink, in the pool as they are, now"}
    )
    cached_pages: int = attrs.field(
        metadata={"help": "of these, pages in the swap cache, uncompressed, now"}
    )
    cached_rewrites: int = attrs.field(
        metadata={"help": "pages overwritten in the swap cache, and so not compressed"}
    )
    compressed_bytes: int = attrs.field(metadata={"help": "bytes of all objects in the pool, now"})
    pool_bytes: int = attrs.field(
        metadata={"help": "real bytes of the pool, staged blocks included, now"}
    )
    pool_bytes_peak: int = attrs.field(metadata={"help": "the most that pool_bytes ever was"})
    pool_limit: int = attrs.field(metadata={"help": "what pool_bytes never passes"})
    pool_limit_hit: int = attrs.field(metadata={"help": "allocations that the limit refused"})
    written_back_pages: int = attrs.field(
        metadata={"help": "pages written to the device under pressure"}
    )
    writeback_blocks: int = attrs.field(metadata={"help": "write I/Os to the device"})
    writeback_bytes: int = attrs.field(metadata={"help": "bytes written to the device"})
    inversions: int = attrs.field(
        metadata={"help": "victims that left while an older one, in policy order, was selectable"}
    )
    young_share: float = attrs.field(
        metadata={"help": "share of the victims that ranked in the younger half of the order"}
    )
    writeback_decompressions: int = attrs.field(
        metadata={"help": "objects decompressed in order to write them"}
    )
    device_reads: int = attrs.field(metadata={"help": "read I/Os from the device"})
    device_read_bytes: int = attrs.field(metadata={"help": "bytes read from the device"})
    refaults: int = attrs.field(metadata={"help": "pages loaded from the device"})
    promoted_pages: int = attrs.field(
        metadata={"help": "pages brought back to the pool, still compressed"}
    )
    readahead_pages: int = attrs.field(
        metadata={"help": "of these, pages that came along with another of their block"}
    )
    clean_drops: int = attrs.field(
        metadata={"help": "pages that left the pool without a write: their copy was still good"}
    )
    cleaned_blocks: int = attrs.field(metadata={"help": "blocks that the cleaner freed"})
    cleaned_bytes: int = attrs.field(metadata={"help": "bytes that the cleaner wrote again"})
    payload_bytes: int = attrs.field(metadata={"help": "object bytes in what was written"})
    live_bytes: int = attrs.field(metadata={"help": "object bytes on the device in use, now"})
    dead_bytes: int = attrs.field(
        metadata={"help": "object bytes in used blocks that nothing refers to, now"}
    )
    pending_bytes: int = attrs.field(
        metadata={"help": "object bytes superseded by others that are not durable yet, now"}
    )
    device_bytes: int = attrs.field(metadata={"help": "bytes of the blocks in use, now"})
    write_errors: int = attrs.field(metadata={"help": "blocks whose write has failed"})
    read_retries: int = attrs.field(metadata={"help": "reads that failed and were tried again"})
    read_errors: int = attrs.field(metadata={"help": "reads that failed for good"})
    bad_blocks: int = attrs.field(metadata={"help": "blocks that can not be written any more, now"})
    devices_away: int = attrs.field(
        metadata={"help": "devices given up, after three failed writes in a row, now"}
    )
    metadata_bytes: int = attrs.field(metadata={"help": "RAM of all tables, now"})
    reconfigurations: int = attrs.field(
        metadata={"help": "changes of compressor, allocator, policy or packer in the open pipeline"}
    )
    retired_pool_pages: int = attrs.field(
        metadata={"help": "pages whose object lies in an allocator that was replaced since, now"}
    )
    retired_codec_pages: int = attrs.field(
        metadata={"help": "pages that a compressor made which was replaced since, anywhere, now"}
    )

    def asdict(self) -> dict[str, int | float]:
        """The counters by name."""
        return attrs.asdict(self)
