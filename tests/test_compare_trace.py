"""The example pipelines against each other on real accesses: a twentieth of a real trace.

The whole trace's figures are in the documentation.
"""

from __future__ import annotations

import os
import struct
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from compare_rows import BLOCK, LRU_ORDERED, Rows, compare_examples

# Beside the project, never in it: it belongs to somebody else.
TRACE = Path(__file__).parents[2] / "shared" / "data" / "cloudphysics.vscsi"
RECORD = struct.Struct("<IIIHHQQ")
PARTS = 20
MIB = (1 << 20) // 512  # in the trace's sectors


def beginning(data: bytes) -> bytes:
    """The first twentieth of the requests: nearly all write, what is read is still in the pool."""
    return data[: len(data) // RECORD.size // PARTS * RECORD.size]


def regions(data: bytes) -> bytes:
    """All requests to a twentieth of the disk: what the whole trace does, with refaults."""
    records = (data[at : at + RECORD.size] for at in range(0, len(data), RECORD.size))
    return b"".join(one for one in records if RECORD.unpack(one)[5] // MIB % PARTS == 0)


@pytest.fixture(scope="module", params=[beginning, regions], ids=lambda cut: cut.__name__)
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    """Which twentieth."""
    found: Callable[[bytes], bytes] = request.param
    return found


@pytest.fixture(scope="module")
def rows(cut: Callable[[bytes], bytes], tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Every example's row, by its packer's name."""
    if os.environ.get("COLDPRESS_TEST_MATRIX") != "full":
        pytest.skip("where all combinations are tested is enough: COLDPRESS_TEST_MATRIX=full")
    if not TRACE.exists():
        pytest.skip("the trace is not beside the project, and may not be in it")
    folder = tmp_path_factory.mktemp("trace")
    (folder / "part.vscsi").write_bytes(cut(TRACE.read_bytes()))
    stdlib = Path(sysconfig.get_path("stdlib"))
    files = sorted([*stdlib.glob("*.py"), *stdlib.glob("lib-dynload/*.so")])
    (folder / "pages").write_bytes(b"".join(file.read_bytes() for file in files))
    given = ("--trace", str(folder / "part.vscsi"), "--input", str(folder / "pages"))
    return compare_examples(*given, "--limit", "25%")


def test_all_take_part_and_lose_nothing(rows: Rows) -> None:
    assert set(rows) == LRU_ORDERED | {"zspage"}
    for row in rows.values():
        assert row["pages"] == row["verified"] == row["stored_pages"] > 5000
        assert row["failures"] == 0
        assert row["limit"] == 0.25
        assert row["pool_bytes_peak"] <= row["pool_limit"]


def test_only_the_regions_bring_pages_back(rows: Rows, cut: Callable[[bytes], bytes]) -> None:
    for row in rows.values():
        assert (row["refaults"] > row["pages"]) == (cut is regions)
        assert (row["clean_drops"] > row["pages"] / 2) == (cut is regions)


def test_only_page_decompresses_to_write(rows: Rows) -> None:
    for packer, row in rows.items():
        expected = row["written_back_pages"] if packer == "page" else 0
        assert row["writeback_decompressions"] == expected
    assert rows["page"]["writeback_blocks"] == rows["page"]["written_back_pages"]


def test_only_zspage_inverts(rows: Rows) -> None:
    for packer, row in rows.items():
        assert (row["inversions"] > 0) == (packer == "zspage")


def test_bounce_against_page(rows: Rows) -> None:
    page, bounce = rows["page"], rows["bounce"]
    # On the whole trace it is 1 %. But each run ends somewhere in the swing of writeback, 5 % of
    # the limit, and with holes in the pool, which compaction lets grow to an eighth of it. What
    # fits into these one has not written yet and the other has, however short the run was.
    swing = (0.05 + 1 / 8) * page["limit"] * page["pages"]
    assert bounce["written_back_pages"] == pytest.approx(page["written_back_pages"], abs=swing)
    assert bounce["ios_of_page"] <= 1 / 16
    assert bounce["writeback_bytes"] <= 1.05 * bounce["payload_bytes"]
    assert bounce["writeback_peak_bytes"] < 2 * BLOCK
