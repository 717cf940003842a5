"""A run's figures, for a person to read."""

from __future__ import annotations

from coldpress.harness.result import Result
from coldpress.units import format_size, human_size


def report(result: Result) -> list[tuple[str, str]]:
    """The table of `coldpress run`: a name and a text in each row."""
    now = result.counters
    size = result.page_size
    ratio = result.ratio
    resident = human_size(result.pool_resident_peak)
    saved = result.saved_bytes
    would_be = now["written_back_pages"] * size
    rows = [
        ("pipeline", ", ".join(result.pipeline.values())),
        (
            "pages",
            f"{result.pages:,} ({human_size(result.pages * size)}), of these "
            f"{now['same_filled_pages']:,} same-filled, {now['incompressible_pages']:,} "
            "incompressible",
        ),
        ("ratio", "-" if ratio is None else f"{ratio:.2f} (pages' bytes to compressed bytes)"),
        (
            "pool",
            f"{human_size(now['pool_bytes'])} now, {human_size(now['pool_bytes_peak'])} at most, "
            f"limit {human_size(now['pool_limit'])}; resident {resident} at most",
        ),
        (
            "blocks written",
            f"{now['writeback_blocks']:,} ({human_size(now['writeback_bytes'])}) with "
            f"{now['written_back_pages']:,} pages",
        ),
        (
            "saved",
            f"{'-' if saved < 0 else ''}{human_size(abs(saved))} ({saved / would_be:.0%}) against "
            f"{format_size(size)} writeback of the same pages"
            if would_be
            else "- (nothing was written back)",
        ),
        (
            "refaults",
            f"{now['refaults']:,}; {result.final_refaults:,} of them among the "
            f"{result.final_reads:,} pages read back at the end",
        ),
        ("stored", _rate(result.stores, size, result.store_seconds)),
        ("loaded", _rate(result.loads, size, result.load_seconds)),
        (
            "verified",
            f"{result.verified:,} of {result.pages:,} pages came back as they were stored",
        ),
    ]
    if result.failures:
        rows.append(("failures", f"{result.failures:,}"))
    if result.interrupted:
        rows.append(("interrupted", "this is what was done so far"))
    return rows


def _rate(pages: int, size: int, seconds: float) -> str:
    if not seconds:
        return "-"
    return (
        f"{pages:,} pages in {seconds:.2f} s: {pages / seconds:,.0f} pages/s, "
        f"{pages * size / seconds / 1e6:,.1f} MB/s"
    )
