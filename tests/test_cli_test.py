"""`coldpress test`: the conformance kit over an installed plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

import coldpress
from coldpress.cli import main
from coldpress.testing.kit import Kit
from coldpress.testing.whole import WholePipelineTests

Out = pytest.CaptureFixture[str]

FORGETFUL = '''\
"""A policy with a fault, and a compressor that is interrupted."""

import attrs
import coldpress
from coldpress_plugins.compressors.none import NoCompression
from coldpress_plugins.policies.fifo import Fifo


@attrs.define(slots=False, eq=False, kw_only=True)
class Forgetful(Fifo):
    """Forgets what was loaded."""

    name = "forgetful"
    often: bool = coldpress.option(default=True, help="whether it does")

    def touch(self, slot):
        if self.often:
            self.remove(slot)


class Interrupted(NoCompression):
    """Someone presses Ctrl-C."""

    name = "interrupted"

    def compress(self, page):
        raise KeyboardInterrupt


@coldpress.hookimpl
def coldpress_policies():
    return [Forgetful]


@coldpress.hookimpl
def coldpress_compressors():
    return [Interrupted]
'''


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is the command: the kit itself has its own tests."""
    monkeypatch.setattr(Kit, "examples", 2)
    monkeypatch.setattr(Kit, "shrinks", False)
    monkeypatch.setattr(WholePipelineTests, "seconds", 0.1)


@pytest.fixture
def _forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forgetful_plugin.py").write_text(FORGETFUL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "forgetful_plugin", raising=False)


def as_json(capsys: Out, *arguments: str) -> dict[str, Any]:
    """What `coldpress test --json` prints, which is one object and nothing else."""
    status = main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    assert found["ok"] == (status == 0)
    return found


def refused(capsys: Out, *arguments: str) -> str:
    """What is said of a call that is wrong: one line, and nothing runs."""
    assert main(["test", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_built_in_plugin_conforms(capsys: Out) -> None:
    assert main(["test", "none"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, *checks, last = out.splitlines()
    assert first == f"compressor none, of coldpress {coldpress.__version__}"
    assert all(line.startswith("  ok      ") for line in checks)
    assert "  ok      threads share one" in checks
    assert "  ok      the whole pipeline keeps every page [background]" in checks
    assert last == f"{len(checks)} checks passed, 0 failed, 0 were skipped"


def test_json_tells_of_each_check(capsys: Out) -> None:
    (plugin,) = as_json(capsys, "test", "page")["plugins"]
    checks = plugin.pop("checks")
    assert plugin == {
        "role": "packer",
        "name": "page",
        "distribution": "coldpress",
        "version": coldpress.__version__,
    }
    assert {check["outcome"] for check in checks} == {"passed", "skipped"}
    for check in checks:
        assert check["seconds"] >= 0
        assert bool(check["why"]) == (check["outcome"] == "skipped")
    whys = {check["name"]: check["why"] for check in checks}
    assert whys["a block holds a zspage"] == "it does not ask for whole zspages"


@pytest.mark.usefixtures("_forgetful")
def test_a_plugin_with_a_fault_does_not_conform(capsys: Out) -> None:
    assert main(["-p", "forgetful_plugin", "test", "forgetful"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert "  ok      a pipeline file can name it" in lines
    failed = lines.index("  FAILED  a long history keeps each slot once")
    why = takewhile(lambda line: line.startswith(" " * 10), lines[failed + 1 :])
    assert any("not every slot is in the order once" in line for line in why)
    assert " 0 failed" not in lines[-1]


@pytest.mark.usefixtures("_forgetful")
def test_an_option_is_given_as_in_a_pipeline_file(capsys: Out) -> None:
    arguments = ["-p", "forgetful_plugin", "test", "policy:forgetful", "--set", "often=false"]
    assert as_json(capsys, *arguments)["ok"]


@pytest.mark.usefixtures("_forgetful")
def test_ctrl_c_ends_it(capsys: Out) -> None:
    assert main(["-p", "forgetful_plugin", "test", "interrupted"]) == 130
    assert capsys.readouterr().err == "coldpress: interrupted\n"


def test_it_ends_when_nobody_reads_what_it_prints() -> None:
    command = [sys.executable, "-m", "coldpress", "test", "none"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline().startswith("compressor none")
        run.stdout.close()
        assert run.stderr.read() == ""
        assert run.wait(timeout=60) == 1


def test_plugins_of_one_name_are_all_tested(capsys: Out) -> None:
    found = as_json(capsys, "test", "zsmalloc")
    assert [plugin["role"] for plugin in found["plugins"]] == ["allocator", "packer"]
    assert found["ok"]


def test_one_of_them_is_named_with_its_role(capsys: Out) -> None:
    (plugin,) = as_json(capsys, "test", "allocator:zsmalloc", "--set", "chain=2")["plugins"]
    assert plugin["role"] == "allocator"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zstdd"], "unknown role or plugin 'zstdd'; did you mean 'zstd'?"),
        (["policy:zstd"], "unknown policy 'zstd'; installed: clock, "),
        (["other:zstd"], "'other:zstd'"),
        (["zstd", "--set", "level=99"], "'level' in [compressor] zstd: must be <= 22, got 99"),
        (["zstd", "--set", "levle=9"], "unknown key 'levle' in [compressor] zstd; did you mean"),
        (["zstd", "--set", "level"], "--set level: expected KEY=VALUE"),
        (["allocator:coldpress:zsmalloc", "--set", "chain=0"], "in [allocator] zsmalloc: must be"),
        (["zsmalloc", "--set", "chain=2"], "unknown key 'chain' in [packer] zsmalloc"),
    ],
)
def test_calls_that_can_not_be(arguments: list[str], message: str, capsys: Out) -> None:
    assert message in refused(capsys, *arguments)


@pytest.mark.parametrize("missing", ["pytest", "hypothesis"])
def test_what_it_needs_is_named(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from coldpress.cli import main; sys.exit(main(['test', 'none']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    needs = f"coldpress.testing needs {missing}: pip install 'coldpress[testing]'"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"coldpress: error: {needs}\n"


def test_nothing_of_the_directory_changes_what_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not of the kit')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    monkeypatch.chdir(tmp_path)
    assert as_json(capsys, "test", "fifo")["ok"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conftest.py", "pytest.ini"]
