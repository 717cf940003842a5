from __future__ import annotations

import os
import random
import tomllib
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import attrs
import lz4.block
import pytest

from coldpress import Stats
from coldpress.config import load_config
from coldpress.harness.compare import Comparison, Entrant, names_of
from coldpress.harness.errors import InputError
from coldpress.harness.figures import tables
from coldpress.harness.inputs import read_inputs
from coldpress.harness.operations import Operations
from coldpress.harness.progress import Progress
from coldpress.harness.result import Result
from coldpress.harness.row import Row, against_baseline, percent
from coldpress.harness.timed import Timed, percentile_us
from coldpress.harness.trace import Trace
from coldpress.harness.wholefile import WholeFile
from coldpress.harness.workload import parse_workload
from coldpress.harness.writebackmemory import WritebackMemory

PAGE = 4096


def row(packer: str = "bounce", limit: float = 0.25, name: str = "", **counters: Any) -> Row:
    result = Result(page_size=PAGE, pipeline={}, pages=10, verified=10, cpu_seconds=1.5)
    zeros = dict.fromkeys((field.name for field in attrs.fields(Stats)), 0)
    result.before_reading_back = {**zeros, **counters}
    return Row(
        pipeline=name or f"{packer}.toml",
        packer=packer,
        limit=limit,
        footprint_bytes=1000,
        result=result,
        store_times=array("Q", [3000, 1000, 2000]),
        load_times=array("Q"),
        writeback_peak_bytes=None,
    )


# -- the footprint --------------------------------------------------------------------------


def expected_footprint(pages: list[bytes], slots: set[int]) -> int:
    """Object bytes of the slots' first pages, by lz4 itself."""
    total = 0
    for slot in slots:
        page = pages[slot % len(pages)]
        if page != page[:8] * (PAGE // 8):
            total += min(len(lz4.block.compress(page, store_size=False)), PAGE)
    return total


def footprint(tmp_path: Path, pages: list[bytes], operations: str, **keys: str) -> int:
    (tmp_path / "pages").write_bytes(b"".join(pages))
    pipeline = tmp_path / "a.toml"
    pipeline.write_text('[compressor]\nuse = "lz4"\n[packer]\nblock = "16KiB"\n')
    overrides = tuple(f"{key.replace('_', '.', 1)}={value}" for key, value in keys.items())
    with read_inputs([str(tmp_path / "pages")], PAGE) as corpus:
        what: Operations = (
            Trace(operations, PAGE)
            if operations.endswith(".txt")
            else parse_workload(operations, len(corpus))
        )
        comparison = Comparison(corpus, what, True, Progress(), lambda: False)
        (run,) = comparison.plan([Entrant("a", str(pipeline), overrides)], [1.0])
    assert run.config.allocator.limit == run.footprint
    return run.footprint


def some_pages() -> list[bytes]:
    rng = random.Random(5)
    text = [b"%d, " % rng.randrange(999) for _ in range(9)]
    pages = [b"".join(rng.choice(text) for _ in range(2000))[:PAGE] for _ in range(50)]
    return [*pages, rng.randbytes(PAGE), bytes(PAGE), b"same" * 1024, *pages[:9]]


@pytest.mark.parametrize("workload", ["zipf:1.2", "scan"])
def test_a_workload_s_footprint_is_that_of_all_pages(tmp_path: Path, workload: str) -> None:
    pages = some_pages()
    found = footprint(tmp_path, pages, workload)
    assert found == expected_footprint(pages, set(range(len(pages))))
    assert footprint(tmp_path, pages, workload, cache_pages="0") == found


def test_a_trace_s_footprint_is_that_of_its_slots(tmp_path: Path) -> None:
    """Each counts once, whatever is done to it; one beyond the corpus gets a page of it again."""
    pages = some_pages()
    slots = [*range(40, 60), *range(0, 6000, 7), 3, 3, 3]
    trace = tmp_path / "a.txt"
    trace.write_text("".join(f"{'RW'[slot % 2]} {slot}\n" for slot in slots))
    found = footprint(tmp_path, pages, str(trace))
    assert found == expected_footprint(pages, set(slots))


def test_the_footprint_is_the_compressors_own(tmp_path: Path) -> None:
    pages = [page for page in some_pages() if page != page[:8] * 512]
    found = footprint(tmp_path, pages, "scan", compressor_use="none")
    assert found == len(pages) * PAGE


def test_pipelines_that_compress_alike_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coldpress.harness import compare

    (tmp_path / "pages").write_bytes(b"".join(some_pages()))
    asked = []
    monkeypatch.setattr(
        compare, "compressed_footprint", lambda *args: asked.append(args) or 1_000_000
    )
    for name, text in {
        "a": 'use = "lz4"',
        "b": 'use = "lz4"\n[packer]\nblock = "16KiB"\n[allocator]\nlimit = "1MiB"',
        "c": 'use = "zstd"\nlevel = 1',
        "d": 'use = "zstd"\nlevel = 3',
        "e": 'use = "lz4"\n[allocator]\nuse = "zbud"',  # which takes no objects of near a page
    }.items():
        (tmp_path / name).write_text(f"[compressor]\n{text}\n")
    with read_inputs([str(tmp_path / "pages")], PAGE) as corpus:
        scan = parse_workload("scan", len(corpus))
        comparison = Comparison(corpus, scan, True, Progress(), lambda: False)
        entrants = [Entrant(name, str(tmp_path / name), ()) for name in "abcde"]
        runs = comparison.plan(entrants, [0.5, 0.3])
    assert len(asked) == 4
    assert [(run.name, run.limit) for run in runs] == [
        (name, limit) for limit in (0.5, 0.3) for name in "abcde"
    ]


def test_pipelines_of_one_name_are_called_by_their_paths() -> None:
    assert names_of(["x/a.toml", "x/b.toml"]) == ["a.toml", "b.toml"]
    assert names_of(["x/a.toml", "y/a.toml"]) == ["x/a.toml", "y/a.toml"]


# -- rows -----------------------------------------------------------------------------------


def test_ratios_to_the_page_packer_are_those_of_the_same_limit() -> None:
    rows = [
        row("bounce", 0.1, writeback_bytes=300, writeback_blocks=5),
        row("page", 0.1, writeback_bytes=1000, writeback_blocks=100),
        row("page", 0.5, writeback_bytes=0, writeback_blocks=0),
        row("bounce", 0.5, writeback_bytes=300, writeback_blocks=5),
        row("bounce", 0.9, writeback_bytes=300, writeback_blocks=5),
    ]
    against_baseline(rows)
    assert [(one.bytes_of_page, one.ios_of_page) for one in rows] == [
        (0.3, 0.05),
        (1.0, 1.0),
        (None, None),
        (None, None),
        (None, None),
    ]
    assert rows[0].asdict()["bytes_of_page"] == 0.3


def test_a_rows_figures() -> None:
    nothing = row()
    assert nothing.block_fill is None
    assert nothing.cleaner_write_amplification is None
    some = row(payload_bytes=900, writeback_bytes=1000, cleaned_bytes=300)
    assert some.block_fill == 0.9
    assert some.cleaner_write_amplification == 1.5
    assert some.latencies == {
        "store_p50_us": 2.0,
        "store_p99_us": 3.0,
        "load_p50_us": None,
        "load_p99_us": None,
    }


def test_a_table_for_each_limit_says_all_for_each_pipeline() -> None:
    rows = [row(limit=limit, name=name) for limit in (0.07, 0.5) for name in ("a", "b")]
    first, second = tables(rows)
    assert (first.limit, second.limit) == ("7%", "50%")
    assert first.pipelines == ["a", "b"]
    lines = dict(first.lines)
    assert lines["packer"] == ["bounce", "bounce"]
    assert lines["writeback's peak memory"] == ["-", "-"]
    assert lines["CPU seconds"] == ["1.50", "1.50"]


@pytest.mark.parametrize(("fraction", "text"), [(0.07, "7%"), (0.125, "12.5%"), (1.0, "100%")])
def test_percent(fraction: float, text: str) -> None:
    assert percent(fraction) == text


# -- measuring ------------------------------------------------------------------------------


class Slow:
    """A pipeline whose calls count as long as they are told to."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.now = 0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.calls.append((name, *args))
            self.now += 10 * len(self.calls)
            return (name, *args)

        return call


def test_every_eighth_call_is_timed_and_all_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from coldpress.harness import timed

    slow = Slow()
    monkeypatch.setattr(timed, "perf_counter_ns", lambda: slow.now)
    watched = Timed(slow)
    for slot in range(17):
        watched.store(slot, b"")
    for slot in range(9):
        assert watched.load(slot) == ("load", slot)
    watched.store_many(3, b"")
    watched.load_many(4, memoryview(b""))
    watched.invalidate(5)
    watched.stats()
    watched.pool_resident_bytes()
    assert [call[0] for call in slow.calls] == [
        *["store"] * 17,
        *["load"] * 9,
        *("store_many", "load_many", "invalidate", "stats", "pool_resident_bytes"),
    ]
    assert list(watched.store_times) == [80, 160]
    assert list(watched.load_times) == [250]


def test_percentiles() -> None:
    times = array("Q", (1000 * n for n in random.Random(2).sample(range(1, 101), 100)))
    assert percentile_us(times, 0.5) == 51.0
    assert percentile_us(times, 0.99) == 100.0
    assert percentile_us(times[:1], 0.99) == times[0] / 1000
    assert percentile_us(array("Q"), 0.5) is None


def test_writebacks_memory_is_the_most_of_a_round() -> None:
    memory = WritebackMemory()
    assert memory.peak is None
    kept = []
    for size in (1 << 10, 1 << 20, 1 << 12):
        with memory():
            block = bytes(size)
            del block
            kept.append(bytes(100))
    between = bytes(1 << 22)  # not writeback's
    assert 1 << 20 <= (memory.peak or 0) < (1 << 20) + 5000
    assert len(between) == 1 << 22
    assert not tracemalloc.is_tracing()


def test_few_of_many_rounds_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    done = [0]
    real = tracemalloc.start
    monkeypatch.setattr(tracemalloc, "start", lambda _: starts.append(done[0]) or real(1))
    memory = WritebackMemory()
    while done[0] < 190_000:
        with memory():
            done[0] += 1
    assert starts[:16] == list(range(16))
    assert 100 < len(starts) <= 240
    assert starts[-1] > 150_000  # not only the first ones


def test_a_failed_round_stops_the_tracing() -> None:
    memory = WritebackMemory()
    with pytest.raises(OSError, match="broken"), memory():
        raise OSError("broken")
    assert not tracemalloc.is_tracing()


# -- a whole file ---------------------------------------------------------------------------


def test_a_whole_file_replaces_at_once(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("before")
    file = WholeFile(str(target), "--html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert target.read_text() == "before"
    file.write("after")
    assert target.read_text() == "after"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_whole_file_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    WholeFile(str(tmp_path / "link"), "--html").write("text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "page.html"
    target.write_text("before")
    file = WholeFile(str(target), "--html")

    def replace(self: Path, other: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        file.write("half")
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("name", ["", "missing/page.html", "folder", "fifo", "zero\0byte"])
def test_where_no_file_can_be_is_said_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="--html "):
        WholeFile(f"{tmp_path}/{name}", "--html")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "fifo"}


def test_the_examples_differ_in_the_packer_alone() -> None:
    folder = Path(__file__).parents[1] / "examples" / "compare"
    names = ["aligned", "bounce", "page", "zsmalloc", "zspage"]
    assert sorted(path.stem for path in folder.iterdir()) == names
    shapes = []
    for name in names:
        shapes.append(tomllib.loads((folder / f"{name}.toml").read_text()))
        packer = shapes[-1].pop("packer")
        assert packer == {"use": name, "block": "4KiB" if name == "page" else "64KiB"}
    assert all(shape == shapes[0] for shape in shapes)
    for name in names:
        config = load_config(folder / f"{name}.toml")
        assert config.names["packer"] == name
        assert (config.names["compressor"], config.names["allocator"]) == ("lz4", "zsmalloc")
        assert (config.names["policy"], config.writeback.promote) == ("lru", "first")
        assert config.device.size == 8 << 30
