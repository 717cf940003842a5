"""The example pipelines against each other, each promise of a packer by its own counters.

`coldpress compare examples/compare/*.toml` is what it is on small pages and a made-up trace. The
real one's figures are in the documentation.
"""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from compare_rows import BLOCK, LRU_ORDERED, Rows, compare_examples

PAGE = 4096
SLOTS = 3000


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Every example's row, by its packer's name."""
    folder = tmp_path_factory.mktemp("packers")
    rng = random.Random(7)
    words = [rng.randbytes(rng.randrange(3, 24)) for _ in range(400)]
    pages = [
        b"".join(rng.choices(words[: rng.choice((20, 60, 150, 400))], k=1400))[:PAGE].ljust(
            PAGE, b" "
        )
        for _ in range(500)
    ]
    (folder / "pages").write_bytes(b"".join(pages))
    # Runs of a few slots, some much more often than others, a third of them written.
    often = list(accumulate(1 / (rank + 1) for rank in range(SLOTS)))
    starts = rng.sample(range(SLOTS), SLOTS)
    lines = [f"W {slot}\n" for slot in range(SLOTS)]
    for start in rng.choices(starts, cum_weights=often, k=2500):
        kind = "W" if rng.random() < 0.33 else "R"
        lines += [f"{kind} {slot}\n" for slot in range(start, min(start + 4, SLOTS))]
    (folder / "trace.txt").write_text("".join(lines))
    given = ("--trace", str(folder / "trace.txt"), "--input", str(folder / "pages"))
    return compare_examples(*given)


def test_all_take_part_and_lose_nothing(rows: Rows) -> None:
    assert set(rows) == LRU_ORDERED | {"zspage"}
    for row in rows.values():
        assert row["pages"] == row["verified"] == row["stored_pages"] == SLOTS
        assert row["limit"] == 0.25
        assert row["written_back_pages"] > SLOTS
        assert row["refaults"] > SLOTS / 3
        assert row["pool_bytes_peak"] <= row["pool_limit"]


def test_only_page_decompresses_to_write(rows: Rows) -> None:
    for packer, row in rows.items():
        expected = row["written_back_pages"] if packer == "page" else 0
        assert row["writeback_decompressions"] == expected


def test_the_lru_ordered_ones_invert_nothing(rows: Rows) -> None:
    for packer in LRU_ORDERED:
        assert rows[packer]["inversions"] == 0
        assert rows[packer]["young_share"] < 0.02
    assert rows["zspage"]["young_share"] > 0.1


def test_bounce_against_page(rows: Rows) -> None:
    page, bounce = rows["page"], rows["bounce"]
    assert bounce["written_back_pages"] == pytest.approx(page["written_back_pages"], rel=0.05)
    assert bounce["ios_of_page"] <= 1 / 16
    assert bounce["writeback_bytes"] <= 1.05 * bounce["payload_bytes"]
    assert bounce["block_fill"] >= 1 / 1.05


def test_writeback_allocates_less_than_two_blocks(rows: Rows) -> None:
    for packer, row in rows.items():
        assert 0 < row["writeback_peak_bytes"] < 2 * BLOCK, packer
