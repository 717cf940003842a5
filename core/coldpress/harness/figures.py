"""A comparison's figures, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import attrs

from coldpress.harness.row import Row, percent
from coldpress.units import human_size


@attrs.frozen
class Table:
    """The rows of one limit side by side: a line for each figure, a cell for each pipeline."""

    limit: str
    pipelines: list[str]
    lines: list[tuple[str, list[str]]]


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """A table for each limit, in their order."""
    for limit, group in groupby(rows, key=lambda row: row.limit):
        same = list(group)
        each = [_figures(row) for row in same]
        lines = [(name, [figures[name] for figures in each]) for name in each[0]]
        yield Table(percent(limit), [row.pipeline for row in same], lines)


def _figures(row: Row) -> dict[str, str]:
    now = row.counters
    latencies = {name: _number(value, ".1f") for name, value in row.latencies.items()}
    return {
        "packer": row.packer,
        "pool limit": human_size(now["pool_limit"]),
        "pages written back": f"{now['written_back_pages']:,}",
        "write I/Os": f"{now['writeback_blocks']:,}",
        "bytes written": human_size(now["writeback_bytes"]),
        "I/Os, page's = 1": _number(row.ios_of_page, ".3f"),
        "bytes, page's = 1": _number(row.bytes_of_page, ".3f"),
        "read I/Os": f"{now['device_reads']:,}",
        "bytes read": human_size(now["device_read_bytes"]),
        "refaults": f"{now['refaults']:,}",
        "promoted": f"{now['promoted_pages']:,}",
        "of these by readahead": f"{now['readahead_pages']:,}",
        "rewritten in the cache": f"{now['cached_rewrites']:,}",
        "dropped without a write": f"{now['clean_drops']:,}",
        "decompressed to write": f"{now['writeback_decompressions']:,}",
        "writeback's peak memory": _size(row.writeback_peak_bytes),
        "inversions": f"{now['inversions']:,}",
        "young share": f"{now['young_share']:.1%}",
        "block fill": _number(row.block_fill, ".1%"),
        "cleaned blocks": f"{now['cleaned_blocks']:,}",
        "cleaner's write amplification": _number(row.cleaner_write_amplification, ".2f"),
        "CPU seconds": f"{row.result.cpu_seconds:.2f}",
        "store p50, p99 (us)": f"{latencies['store_p50_us']}, {latencies['store_p99_us']}",
        "load p50, p99 (us)": f"{latencies['load_p50_us']}, {latencies['load_p99_us']}",
        "verified": f"{row.result.verified:,} of {row.result.pages:,}",
        "failures": f"{row.result.failures:,}",
    }


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _size(value: int | None) -> str:
    return "-" if value is None else human_size(value)
