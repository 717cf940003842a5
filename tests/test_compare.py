from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from coldpress import Stats
from coldpress.cli import main

PAGE = 4096
PAGES = 1000
OWN = {
    *("pipeline", "packer", "limit", "footprint_bytes", "pages", "verified", "failures"),
    *("bytes_of_page", "ios_of_page", "block_fill", "cleaner_write_amplification"),
    *("writeback_peak_bytes", "cpu_seconds"),
    *("store_p50_us", "store_p99_us", "load_p50_us", "load_p99_us"),
}
MEASURED = {name for name in OWN if name.endswith(("_us", "_seconds", "_peak_bytes"))} | {
    "metadata_bytes"
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pages that compress and a few that do not: `PAGES` of them."""
    folder = tmp_path_factory.mktemp("sources")
    rng = random.Random(3)
    words = [rng.randbytes(rng.randrange(4, 20)) for _ in range(60)]
    text = b"".join(rng.choices(words, k=400_000))
    (folder / "text").write_bytes(text[: 950 * PAGE])
    (folder / "noise").write_bytes(rng.randbytes(20 * PAGE))
    (folder / "zeros").write_bytes(bytes(30 * PAGE))
    return str(folder)


def pipeline(folder: Path, use: str, name: str = "", **tables: dict[str, Any]) -> str:
    """A pipeline file for small pools."""
    shape: dict[str, dict[str, Any]] = {
        "compressor": {"use": "lz4"},
        "packer": {"use": use, "block": "4KiB" if use == "page" else "16KiB"},
        "device": {"use": "memory", "size": "16MiB"},
        "writeback": {"promote": "first"},
    }
    for table, keys in tables.items():
        shape[table] = {**shape.get(table, {}), **keys}
    path = folder / f"{name or use}.toml"
    path.write_text(
        "".join(
            f"[{table}]\n" + "".join(f"{key} = {json.dumps(keys[key])}\n" for key in keys)
            for table, keys in shape.items()
        )
    )
    return str(path)


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    return [pipeline(tmp_path, "page"), pipeline(tmp_path, "bounce")]


def compare(
    capsys: pytest.CaptureFixture[str], *args: str, status: int = 0
) -> list[dict[str, Any]]:
    assert main(["compare", "--json", *args]) == status
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_rows(sources: str, pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    args = [*pair, "--input", sources, "--limit", "50%,20%", "--deterministic"]
    rows = compare(capsys, *args)
    assert [(row["pipeline"], row["packer"], row["limit"]) for row in rows] == [
        ("page.toml", "page", 0.5),
        ("bounce.toml", "bounce", 0.5),
        ("page.toml", "page", 0.2),
        ("bounce.toml", "bounce", 0.2),
    ]
    counters = {field.name for field in attrs.fields(Stats)}
    for row in rows:
        assert set(row) == OWN | counters
        assert row["pages"] == row["verified"] == PAGES
        assert row["failures"] == 0
        assert row["pool_limit"] == int(row["limit"] * row["footprint_bytes"])
        assert row["pool_bytes_peak"] <= row["pool_limit"]
        assert 0 < row["block_fill"] <= 1
        assert 0 < row["store_p50_us"] <= row["store_p99_us"]
        assert 0 < row["load_p50_us"] <= row["load_p99_us"]
        assert row["cpu_seconds"] > 0
        assert row["refaults"] > 0
        # The reading back at the end is no part of it: there are twice as many accesses as pages.
        assert row["refaults"] < 2 * PAGES
    for page, bounce in (rows[:2], rows[2:]):
        assert (page["bytes_of_page"], page["ios_of_page"]) == (1.0, 1.0)
        assert bounce["bytes_of_page"] == bounce["writeback_bytes"] / page["writeback_bytes"]
        assert bounce["ios_of_page"] == bounce["writeback_blocks"] / page["writeback_blocks"] < 0.5
        assert page["writeback_decompressions"] == page["written_back_pages"]
        assert bounce["writeback_decompressions"] == bounce["inversions"] == 0
        assert 0 < bounce["writeback_peak_bytes"] < 2 * 16384

    again = compare(capsys, *args)
    for one, other in zip(rows, again, strict=True):
        assert {k: v for k, v in one.items() if k not in MEASURED} == {
            k: v for k, v in other.items() if k not in MEASURED
        }


def test_writeback_in_the_background(
    sources: str, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = compare(capsys, *pair, "--input", sources, "--workload", "uniform")
    assert [row["limit"] for row in rows] == [0.25, 0.25]
    assert all(row["writeback_blocks"] > 0 for row in rows)
    assert all(row["verified"] == PAGES for row in rows)
    assert all(row["writeback_peak_bytes"] is None for row in rows)


def test_a_trace(
    sources: str, tmp_path: Path, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """All pipelines get its slots and pages, which they can count themselves."""
    trace = tmp_path / "a.vscsi"
    rng = random.Random(4)
    starts = [8 * rng.randrange(900) for _ in range(600)]
    record = struct.Struct("<IIIHHQQ")
    trace.write_bytes(
        b"".join(
            record.pack(n, 16384, 1, rng.choice((0x28, 0x2A)), 0x100, start, n)
            for n, start in enumerate(starts)
        )
    )
    touched = {start // 8 + n for start in starts for n in range(4)}
    rows = compare(
        capsys,
        *pair,
        "--input",
        sources,
        "--trace",
        str(trace),
        "--limit",
        "20%",
        "--deterministic",
    )
    for row in rows:
        assert row["pages"] == row["verified"] == row["stored_pages"] == len(touched)
    page, bounce = rows
    assert abs(bounce["written_back_pages"] / page["written_back_pages"] - 1) < 0.1


def test_the_table_in_a_pipe(
    sources: str, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *pair, "--input", sources, "--limit", "10%,50%"]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # no bar, no warning
    cells = [line.split("\t") for line in out.splitlines()]
    assert {len(row) for row in cells} == {4}
    lines = {(limit, name): values for limit, name, *values in cells}
    assert len(lines) == len(cells)
    for limit in ("limit 10%", "limit 50%"):
        assert lines[limit, "pipeline"] == ["page.toml", "bounce.toml"]
        assert lines[limit, "bytes, page's = 1"][0] == "1.000"
        assert lines[limit, "verified"] == ["1,000 of 1,000"] * 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "required: PIPELINE"),
        (["{a}", "--limit", "0%"], "--limit: '0%' leaves no pool"),
        (["{a}", "--limit", "10%,101%"], "--limit: '101%' is above 100%"),
        (["{a}", "--limit", "25"], "--limit: expected a percentage such as"),
        (["{a}", "--limit", "10%,,20%"], "--limit: expected a percentage such as"),
        (["{a}", "--limit", "-5%"], "--limit"),
        (["{a}", "--limit", "nan%"], "--limit: expected a percentage such as"),
        (["{a}", "--input", "{tmp}/few"], r"--limit 25%: .*/a.toml: .* is too small a pool: .*KiB"),
        (["{a}", "--set", "allocator.limit=1MiB"], "--set allocator.limit=1MiB: .* --limit"),
        (["{a}", "--set", "compressor.levle=1"], "levle"),
        (["{a}", "{tmp}/missing.toml"], "missing.toml: can not be read"),
        (["{a}", "{odd}"], "odd.toml: its page_size is 16KiB and that of .*a.toml 4KiB"),
        (["{a}", "{bad}", "{worse}"], "bad.toml:4:1: unknown packer 'bouncy'(.|\n)*worse.toml:4:1"),
        (["{a}", "{fixed}"], "fixed.toml: this run needs 1,000 slots and the config has 100"),
        (["{a}", "--trace", "{tmp}/broken.vscsi"], "broken.vscsi: record 2: expected 32 bytes"),
        (["{a}", "--trace", "{tmp}/broken.txt"], "broken.txt: line 2: expected 'W slot' or"),
        (["{a}", "--workload", "zip"], "--workload zip: expected"),
        (["{a}", "--workload", "scan", "--trace", "x"], "not allowed with"),
        (["{a}", "--html", "{tmp}/missing/page.html"], "--html .*: No such file"),
    ],
)
def test_a_wrong_call_exits_with_2(
    sources: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    message: str,
) -> None:
    names = {"tmp": str(tmp_path), "a": pipeline(tmp_path, "bounce", "a")}
    for name in ("bad", "worse"):
        names[name] = pipeline(tmp_path, "bouncy", name)
    for name, text in (("odd", 'page_size = "16KiB"'), ("fixed", "slots = 100")):
        names[name] = pipeline(tmp_path, "bounce", name, packer={"block": "32KiB"})
        path = Path(names[name])
        path.write_text(f"{text}\n{path.read_text()}")
    (tmp_path / "few").write_bytes(b"few" * 2000)
    (tmp_path / "broken.txt").write_text("W 1\nW one\n")
    (tmp_path / "broken.vscsi").write_bytes(
        struct.pack("<IIIHHQQ", 1, PAGE, 1, 0x28, 0x100, 0, 0) + bytes(31)
    )
    call = ["compare", *(arg.format(**names) for arg in args)]
    assert main([*call, *(["--input", sources] if "--input" not in args else [])]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(message, err), err


def test_a_wrong_page_fails_the_comparison(
    sources: str,
    pair: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, in one load of the second pipeline, long before the end."""
    from coldpress import Pipeline

    real = Pipeline.load
    loads = [0]

    def load(self: Pipeline, slot: int) -> bytes:
        page = real(self, slot)
        loads[0] += self.config.names["packer"] == "bounce"
        return page if loads[0] != 100 else bytes(PAGE)

    monkeypatch.setattr(Pipeline, "load", load)
    assert main(["compare", *pair, "--input", sources, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [row["failures"] for row in json.loads(out)] == [0, 1]
    assert re.fullmatch(
        r"coldpress: error: bounce.toml at 25%: slot \d+: the page that came back is not .*\n", err
    )


def test_a_full_device_fails_its_row_alone(
    sources: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = pipeline(tmp_path, "bounce", "small", device={"size": "256KiB"})
    rows = compare(capsys, small, pipeline(tmp_path, "bounce"), "--input", sources, status=1)
    assert [row["failures"] for row in rows] == [1, 0]
    assert 0 < rows[0]["pages"] == rows[0]["verified"] < PAGES


def test_ctrl_c_prints_the_finished_runs_and_leaves_no_page(sources: str, tmp_path: Path) -> None:
    trace = tmp_path / "long.txt"
    trace.write_text("".join(f"W {n}\n" for n in range(300)) + "R 0\nR 299\n" * 40_000)
    image = tmp_path / "cold.img"
    second = {"use": "file", "path": str(image)}
    pipelines = [
        pipeline(tmp_path, "bounce", "first"),
        pipeline(tmp_path, "bounce", "second", device=second),
    ]
    command = [sys.executable, "-m", "coldpress", "compare", *pipelines, "--input", sources]
    command += ["--trace", str(trace), "--html", f"{tmp_path}/page.html", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 30
        while not image.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(3):
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert err == "coldpress: interrupted\n"
    assert [row["pipeline"] for row in json.loads(out)] == ["first.toml"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".txt", ".toml"}


def test_a_table_and_a_bar_on_a_terminal(sources: str, pair: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "coldpress", "compare", *pair, "--input", sources]
    with subprocess.Popen(
        command,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        running.communicate(timeout=30)
    os.close(ours)
    assert running.returncode == 0
    assert b"page.toml: measuring the compressed footprint" in shown
    assert b"bounce.toml at 25%: zipf:0.99" in shown
    plain = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown)
    assert re.search(rb"limit 25% +page.toml +bounce.toml", plain)
    assert b"1,000 of 1,000" in shown
