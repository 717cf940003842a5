from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_plugins
import pytest

from coldpress import PoolFull, __version__
from coldpress.cli import check, main
from coldpress.registry import Registry, using

Out = pytest.CaptureFixture[str]


@pytest.fixture
def fakes() -> Iterator[Registry]:
    """Makes the fake plugins the installed ones."""
    registry = fake_plugins.registry()
    with using(registry):
        yield registry


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text('[compressor]\nuse = "zstd"\nlevel = 3\n')
    (tmp_path / "bad.toml").write_text("slots = 0\n[compressor]\nlevle = 3\n")
    return tmp_path


PROBLEMS = [
    ("bad.toml:1:1", "'slots': must be from 1 to 4294967294, got 0"),
    ("bad.toml:3:1", "unknown key 'levle' in [compressor] zstd; did you mean 'level'?"),
]


def spawn(*args: str, stdout: Any = subprocess.PIPE, **env: str) -> tuple[int, str, str]:
    """Run the command in a process of its own; its status, output and errors."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-m", "coldpress", *args],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=kept | env,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("fakes", "here")
def test_a_good_file_is_shown_one_line_a_part(capsys: Out) -> None:
    assert main(["check", "good.toml"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "good.toml: ok",
        "pipeline\t\tpage_size=4KiB, slots=1000000, entries=filled,zswap,raw",
        "compressor\tzstd\tlevel=3, dictionary=none",
        "allocator\tzsmalloc\tlimit=64MiB",
        "policy\tlru\t",
        "packer\tbounce\tblock=64KiB",
        'device\tfile\tsize=1GiB, persistent=false, format=false, encrypt="", path=none',
        "writeback\t\thigh=95%, accept=90%, promote=second, readahead=false",
        "cache\t\tpages=0",
    ]


@pytest.mark.usefixtures("fakes", "here")
def test_a_bad_file_s_problems_are_on_stderr(capsys: Out) -> None:
    assert main(["check", "bad.toml", "--set", "policy.use=lur"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        *(f"{where}: {message}" for where, message in PROBLEMS),
        "--set policy.use: unknown policy 'lur'; did you mean 'lru'? installed: fifo, lru",
    ]


@pytest.mark.usefixtures("fakes", "here")
def test_overrides_are_checked_and_shown(capsys: Out) -> None:
    assert main(["check", "good.toml", "--set", "compressor.use=lz4", "--set", "slots=5"]) == 0
    out = capsys.readouterr().out
    assert "compressor\tlz4\tacceleration=1\n" in out
    assert "slots=5," in out


@pytest.mark.usefixtures("fakes", "here")
def test_json(capsys: Out) -> None:
    assert main(["check", "good.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "problems": [],
        "pipeline": {
            "compressor": "zstd",
            "allocator": "zsmalloc",
            "policy": "lru",
            "packer": "bounce",
            "device": "file",
        },
    }
    assert main(["check", "bad.toml", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "ok": False,
        "problems": [{"where": where, "message": message} for where, message in PROBLEMS],
        "pipeline": None,
    }
    assert err == ""


@pytest.mark.usefixtures("here")
def test_a_broken_plugin_is_a_warning_on_stderr(fakes: Registry, capsys: Out) -> None:
    fakes.warnings.append("plugin 'fast' of acme 1.0: can not be imported: ImportError: no libfast")
    assert main(["check", "good.toml", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"]
    assert err == (
        "coldpress: warning: plugin 'fast' of acme 1.0: "
        "can not be imported: ImportError: no libfast\n"
    )


@pytest.mark.usefixtures("fakes")
def test_a_problem_without_a_place_still_says_who_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def fail(args: object) -> int:
        from coldpress.config import load_config

        load_config(None, registry=Registry())
        return 0

    monkeypatch.setattr(check, "run", fail)
    assert main(["check", "x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "coldpress: unknown compressor 'zstd'; no compressor is installed"


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (PoolFull("the pool is full"), 1, "coldpress: error: the pool is full\n"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device\n"),
        (MemoryError(), 1, "coldpress: error: out of memory\n"),
        (KeyboardInterrupt(), 130, "coldpress: interrupted\n"),
    ],
)
def test_an_error_is_one_line_and_a_status(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:
    def fail(args: object) -> int:
        print("so far")
        raise error

    monkeypatch.setattr(check, "run", fail)
    assert main(["check", "x"]) == status
    out, err = capsys.readouterr()
    assert out == "so far\n"
    assert err.endswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [[], ["chekc"], ["check"], ["check", "a", "b"], ["plugins", "x", "y"]]
)
def test_a_wrong_call_is_2(argv: list[str], capsys: Out) -> None:
    assert main(argv) == 2
    assert "usage: coldpress" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["--help"], ["check", "--help"], ["plugins", "--help"], ["schema", "--help"]]
)
def test_help_shows_an_example(argv: list[str], capsys: Out) -> None:
    assert main(argv) == 0
    assert "examples:\n  coldpress " in capsys.readouterr().out


def test_the_version(capsys: Out) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"coldpress {__version__}\n"


@pytest.mark.usefixtures("here")
def test_the_real_command() -> None:
    status, out, err = spawn("check", "good.toml")
    assert (status, err) == (0, "")
    assert "compressor\tzstd\tlevel=3, dictionary=none\n" in out
    status, out, err = spawn("check", "bad.toml")
    assert (status, out) == (2, "")
    assert err == "".join(f"{where}: {message}\n" for where, message in PROBLEMS)


@pytest.mark.usefixtures("here")
def test_a_reader_that_goes_away_is_no_noise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert spawn("check", "good.toml", stdout=writer) == (1, None, "")
    finally:
        os.close(writer)


@pytest.mark.usefixtures("here")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        status, _, err = spawn("check", "good.toml", stdout=full)
    assert (status, err) == (1, "coldpress: error: [Errno 28] No space left on device\n")


@pytest.mark.usefixtures("here")
def test_a_terminal_gets_a_table_with_nothing_cut_off() -> None:
    keeper, terminal = pty.openpty()
    path = "x" * 150
    try:
        status, _, err = spawn(
            *("check", "good.toml", "--set", f"device.path={path}"),
            stdout=terminal,
            COLUMNS="60",
            TERM="xterm",
        )
        shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(keeper, 1 << 16).decode())
    finally:
        os.close(terminal)
        os.close(keeper)
    assert (status, err) == (0, "")
    assert "part" in shown
    assert shown.count("x") == 150
    assert max(map(len, shown.splitlines())) <= 60
