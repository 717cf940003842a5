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
from coldpress.harness.interrupt import Interrupt

PAGE = 4096
SMALL = [
    "--set=compressor.use=lz4",
    "--set=allocator.limit=256KiB",
    "--set=device.use=memory",
    "--set=device.size=16MiB",
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A few hundred pages that compress and a few that do not."""
    folder = tmp_path_factory.mktemp("sources")
    rng = random.Random(3)
    words = [rng.randbytes(rng.randrange(2, 12)) for _ in range(500)]
    text = b"".join(rng.choice(words) for _ in range(250_000))
    (folder / "text").write_bytes(text[: 300 * PAGE])
    (folder / "noise").write_bytes(rng.randbytes(20 * PAGE))
    (folder / "zeros").write_bytes(bytes(30 * PAGE))
    return str(folder)


def run_json(capsys: pytest.CaptureFixture[str], *args: str, status: int = 0) -> dict[str, Any]:
    assert main(["run", "--json", *args]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_pool_smaller_than_the_input(sources: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "--input", sources, *SMALL)
    assert found["pages"] == found["verified"] == found["final_reads"] == 350
    assert {field.name for field in attrs.fields(Stats)} <= set(found)
    assert found["stored_pages"] == 350
    assert found["writeback_blocks"] > 0
    assert 0 < found["final_refaults"] <= found["refaults"]
    assert 0 < found["pool_resident_peak"] <= 256 << 10
    assert found["pool_bytes_peak"] <= found["pool_limit"] == 256 << 10
    assert found["same_filled_pages"] >= 20
    assert found["store_seconds"] > 0
    assert found["load_seconds"] > 0
    assert found["ratio"] > 1
    assert found["pipeline"] == {
        "compressor": "lz4",
        "allocator": "zsmalloc",
        "policy": "lru",
        "packer": "bounce",
        "device": "memory",
    }


def test_the_table(sources: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--input", sources, *SMALL]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # no bar, no warning
    rows = dict(line.split("\t") for line in out.splitlines())
    assert rows["pages"].startswith("350 (1.4 MiB)")
    assert rows["verified"].startswith("350 of 350 ")
    assert "against 4KiB writeback" in rows["saved"]


def test_pages_of_another_size(sources: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "--input", sources, *SMALL, "--set=page_size=16KiB")
    assert found["pages"] == found["verified"] == 75 + 5 + 8


@pytest.mark.parametrize("workload", ["zipf:0.99", "uniform", "scan"])
def test_workloads(sources: str, capsys: pytest.CaptureFixture[str], workload: str) -> None:
    found = run_json(capsys, "--input", sources, *SMALL, "--workload", workload)
    assert found["pages"] == found["verified"] == 350
    assert found["refaults"] > found["final_refaults"] > 0


def test_a_trace(sources: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "a.vscsi"
    rng = random.Random(4)
    trace.write_bytes(
        b"".join(
            struct.pack(
                "<IIIHHQQ", n, 16384, 1, rng.choice((0x28, 0x2A)), 0x100, 8 * rng.randrange(900), n
            )
            for n in range(900)
        )
    )
    found = run_json(capsys, "--input", sources, *SMALL, "--trace", str(trace))
    assert found["pages"] == found["verified"] > 800
    assert found["refaults"] > found["final_refaults"] > 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--input", "{tmp}/missing"], "--input .*missing: No such file"),
        (["--input", "{tmp}/empty"], "--input .*empty: it has no readable page"),
        (["--input", "pid:x"], "--input pid:x: expected pid:"),
        (["--input", "{tmp}/good", "--trace", "{tmp}/bad.txt"], "--trace .*bad.txt: line 1"),
        (["--input", "{tmp}/good", "--workload", "zip:1"], "--workload zip:1: expected"),
        (["--input", "{tmp}/good", "--set", "nokey=1"], "nokey"),
        (["--trace", "x", "--workload", "scan"], "not allowed with"),
    ],
)
def test_a_wrong_call_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "bad.txt").write_bytes(b"bad")
    (tmp_path / "empty").touch()
    assert main(["run", *SMALL, *(arg.format(tmp=tmp_path) for arg in args)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(message, err)


def test_slots_grow_unless_the_user_fixed_them(
    sources: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "far.txt"
    trace.write_text("W 3000000\n")
    found = run_json(capsys, "--input", sources, *SMALL, "--trace", str(trace))
    assert found["pages"] == found["verified"] == 1

    config = tmp_path / "pipeline.toml"
    config.write_text('[policy]\nuse = "fifo"\n')
    found = run_json(capsys, str(config), "--input", sources, *SMALL, "--trace", str(trace))
    assert found["pipeline"]["policy"] == "fifo"

    config.write_text("slots = 100\n")
    for fixed in ([str(config)], ["--set", "slots=100"], ["--set", " slots = 100"]):
        assert main(["run", *fixed, "--input", sources, *SMALL]) == 2
        assert "needs 350 slots and the config has 100: use --set slots=350" in (
            capsys.readouterr().err
        )
    found = run_json(capsys, str(config), "--input", sources, *SMALL, "--set", "slots=350")
    assert found["verified"] == 350


def test_what_was_skipped_is_said(
    sources: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"file")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert main(["run", *SMALL, "--input", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert err.startswith("coldpress: warning: skipped 1 that can not be read; the first: ")
    assert "dangling" in err


def test_damage_on_the_device_fails_the_run(
    sources: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from coldpress_plugins.devices.memory import MemoryDevice

    real = MemoryDevice.read_into
    reads = [0]

    def read_into(self: MemoryDevice, offset: int, buffer: memoryview) -> None:
        real(self, offset, buffer)
        reads[0] += 1
        if reads[0] % 50 == 0:
            buffer[len(buffer) // 2] ^= 1

    monkeypatch.setattr(MemoryDevice, "read_into", read_into)
    assert main(["run", "--json", "--input", sources, *SMALL]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["final_reads"] == found["pages"] == 350
    assert 0 < found["pages"] - found["verified"] == found["failures"] < 20
    assert err.count("coldpress: error: slot ") == found["failures"]


def test_a_full_device_fails_the_run_and_loses_nothing(
    sources: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(capsys, "--input", sources, *SMALL, "--set=device.size=512KiB", status=1)
    assert 0 < found["pages"] == found["verified"] < 350
    assert found["failures"] == 1


def test_ctrl_c_prints_what_was_done_and_leaves_nothing(sources: str, tmp_path: Path) -> None:
    image = tmp_path / "cold.img"
    trace = tmp_path / "long.txt"
    trace.write_text("".join(f"W {n}\n" for n in range(300)) + "R 0\nR 299\n" * 300_000)
    command = [sys.executable, "-m", "coldpress", "run", "--input", sources, *SMALL]
    command += ["--trace", str(trace), "--set=device.use=file", f"--set=device.path={image}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 30
        while not image.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        for _ in range(3):
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    rows = dict(line.split("\t") for line in out.splitlines())
    assert "interrupted" in rows
    assert not rows["stored"].startswith("0 ")
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"long.txt"}


@pytest.mark.parametrize(
    ("json_", "pipe", "bar"), [(False, False, True), (False, True, True), (True, True, False)]
)
def test_a_progress_bar_on_a_terminal_only(
    sources: str, json_: bool, pipe: bool, bar: bool
) -> None:
    """On stderr; with --json only if stdout is a terminal too."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "coldpress", "run", "--input", sources, *SMALL]
    with subprocess.Popen(
        command + ["--json"] * json_,
        stdout=subprocess.PIPE if pipe else theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
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
        out, _ = running.communicate(timeout=30)
    os.close(ours)
    assert running.returncode == 0
    assert (b"reading back" in shown) == bar
    if pipe:
        assert b"350" in out
        assert b"reading back" not in out
    else:
        assert b"350 of 350" in shown


@pytest.mark.parametrize("heard", [True, False])
def test_an_interrupt_asks_and_insists_if_nobody_listens(
    heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the same one, passed on twice
        if heard:
            assert stop()
        now[0] += 2
        if heard:
            signal.raise_signal(signal.SIGINT)  # what is closing now is not disturbed
        else:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert stop()
    assert signal.getsignal(signal.SIGINT) is before
