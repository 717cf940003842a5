"""The main job, as a user runs it, on the interpreter's own files."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import coldpress
import coldpress.flat
import coldpress.mapping
from coldpress.harness.inputs import read_inputs

ROOT = Path(__file__).parent.parent
PAGE = 4096
ENOUGH = 64 << 20


@pytest.fixture(scope="module")
def footprint() -> int:
    """The compressed bytes of the default input, and how well zsmalloc holds them."""
    with read_inputs([], PAGE) as corpus:
        count = len(corpus)
        if count * PAGE < ENOUGH:
            pytest.skip(f"this interpreter's own files are only {count * PAGE >> 20} MiB")
        shape = {
            "slots": count,
            "compressor": {"use": "zstd", "level": 1},
            "allocator": {"use": "zsmalloc", "limit": count * PAGE, "chain": 8},
            "device": {"use": "memory"},
        }
        mappings: list[mmap.mmap] = []

        def reserve(size: int) -> mmap.mmap:
            mappings.append(coldpress.flat.reserve(size))
            return mappings[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coldpress.mapping, "reserve", reserve)
            pipeline = coldpress.open(shape)
        with pipeline:
            pipeline.store_many(0, corpus.run(0, count))
            stats = pipeline.stats()
            resident = mapped_rss(mappings)
    assert stats.written_back_pages == 0
    assert stats.compressed_bytes / stats.pool_bytes >= 0.93
    assert stats.metadata_bytes / stats.stored_pages <= 48
    # Only what was touched is resident: the ends of zspages that are not full yet are not.
    assert stats.pool_bytes * 0.98 <= resident <= stats.pool_bytes + len(mappings) * PAGE
    return stats.compressed_bytes


def mapped_rss(mappings: list[mmap.mmap]) -> int:
    """The resident size of these mappings, from the kernel's own table of their pages.

    Not from `smaps`: there a mapping is one with a neighbour of the same kind, such as a table of
    the pipeline's, whenever the kernel happens to place them side by side.
    """
    total = 0
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        for one in mappings:
            first = ctypes.addressof(ctypes.c_char.from_buffer(one)) // PAGE
            entries = os.pread(pagemap.fileno(), -(-len(one) // PAGE) * 8, first * 8)
            assert len(entries) == -(-len(one) // PAGE) * 8
            total += PAGE * sum(entry >> 63 for (entry,) in struct.iter_unpack("=Q", entries))
    return total


def run(tmp_path: Path, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "coldpress", "run", str(ROOT / "examples/quickstart.toml")]
        + ["--json", *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_quarter_of_the_compressed_size_in_ram(footprint: int, tmp_path: Path) -> None:
    result = run(tmp_path, "--set", f"allocator.limit={footprint // 4}")
    assert result["pages"] * PAGE >= ENOUGH
    assert result["verified"] == result["pages"]
    assert result["final_reads"] == result["pages"]
    assert result["final_refaults"] >= 0.70 * result["final_reads"]
    assert result["pool_bytes_peak"] <= result["pool_limit"]
    assert result["pool_resident_peak"] <= result["pool_limit"]
    assert result["pool_resident_peak"] >= 0.8 * result["pool_bytes_peak"]
    assert result["writeback_decompressions"] == 0
    assert result["written_back_pages"] / result["writeback_blocks"] >= 16
    assert result["payload_bytes"] / result["writeback_bytes"] >= 0.95
    assert result["metadata_bytes"] / result["stored_pages"] <= 48
    assert list(tmp_path.iterdir()) == []  # the device forgot, and left nothing


@pytest.mark.parametrize("example", ["fast", "dense", "nvme"])
def test_the_other_examples_run(example: str, tmp_path: Path) -> None:
    source = Path(sysconfig.get_path("stdlib"), "encodings")
    config = str(ROOT / f"examples/{example}.toml")
    done = subprocess.run(
        [sys.executable, "-m", "coldpress", "run", config, "--json", "--input", str(source)]
        + ["--set", "allocator.limit=512KiB"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["verified"] == result["pages"] > 100


def test_the_program_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/larger_than_ram.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "8192 pages, 32 MiB" in done.stdout
    refaults = int(re.search(r"(\d+) of 10000 reads", done.stdout)[1])  # type: ignore[index]
    assert refaults > 1000
