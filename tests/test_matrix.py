"""`coldpress matrix`: what runs, what it finds, and what it says of what can not run."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import fake_plugins
import pytest

import coldpress
from coldpress.cli import main
from coldpress.registry import default_registry, using
from coldpress.testing.combination import Combination
from coldpress_plugins.allocators.zbud import Zbud
from coldpress_plugins.compressors.lz4 import Lz4
from coldpress_plugins.devices.memory import MemoryDevice
from coldpress_plugins.entry_types.filled import Filled
from coldpress_plugins.policies.fifo import Fifo

Out = pytest.CaptureFixture[str]


@attrs.define(slots=False, eq=False, kw_only=True)
class Forgets(Fifo):
    """A policy that names no victim, so that nothing ever leaves the pool."""

    name = "forgets"

    def evict(self) -> int:
        return -1


@attrs.define(slots=False, eq=False, kw_only=True)
class Flips(Lz4):
    """A compressor that gives each page back with one bit changed."""

    name = "flips"

    def decompress(self, data: coldpress.Buffer, size: int) -> bytes:
        page = bytearray(super().decompress(data, size))
        page[100] ^= 1
        return bytes(page)


@attrs.define(slots=False, eq=False, kw_only=True)
class Huge(Zbud):
    """An allocator that may take more at once than the pool has."""

    name = "huge"

    def largest_grant(self, page_size: int) -> int:
        return 64 << 20


@attrs.define(slots=False, eq=False, kw_only=True)
class Remote(MemoryDevice):
    """A device that must be told where it is."""

    name = "remote"
    url: str = coldpress.option(help="where")


@attrs.define(slots=False, eq=False, kw_only=True)
class Picky(Filled):
    """An entry type for pages that nobody stores."""

    name = "picky"

    def prepare(self, page: memoryview) -> Any | None:
        return None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Combination, "seconds", 0.1)
    monkeypatch.setattr(Combination, "examples", 1)


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    module = fake_plugins.plugin(
        "odd",
        compressor=[Flips],
        allocator=[Huge],
        policy=[Forgets],
        device=[Remote],
        entry_type=[Picky],
    )
    with using(default_registry().extended(module, "acme-odd", "2.1")):
        yield


PLAIN = {
    "compressor": "lz4",
    "allocator": "zsmalloc",
    "policy": "lru",
    "packer": "bounce",
    "device": "memory",
    "entry_type": "filled",
}


def withs(**chosen: str) -> list[str]:
    """A plain pipeline of one combination but for the roles that are given here ("": all)."""
    names = {role: name for role, name in {**PLAIN, **chosen}.items() if name}
    return [word for role, name in names.items() for word in ("--with", f"{role}={name}")]


def test_one_combination(capsys: Out) -> None:
    assert main(["matrix", *withs()]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, *rest = out.splitlines()
    assert first.startswith("ok      lz4-zsmalloc-lru-bounce-memory-filled  ")
    assert "combinations\t1, 1 passed, 0 failed" in rest
    assert "pairs\t15 of 15 worked together, 0 are refused" in rest
    assert "policy\tlru" in rest


def test_a_chosen_plugin_meets_every_value_of_a_free_role(capsys: Out) -> None:
    assert main(["matrix", *withs(packer="", compressor="zstd"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["plugins"]["compressor"] == ["zstd"]
    packers = [one.name for one in default_registry().plugins("packer")]
    assert [one["pipeline"]["packer"] for one in report["combinations"]] == packers
    assert report["pairs"] == {"all": 35, "worked_together": 35, "refused": 0}
    for one in report["combinations"]:
        assert one["outcome"] == "passed"
        assert one["why"] == ""
        assert all(one["calls"].values())
        assert one["calls"]["refaults"] > 0 < one["calls"]["written_back_pages"]
    assert report["seconds"] >= sum(one["seconds"] for one in report["combinations"])


def test_two_of_a_role_can_be_chosen(capsys: Out) -> None:
    assert main(["matrix", *withs(), "--with", "policy=sieve", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plugins"]["policy"] == ["lru", "sieve"]
    assert len(report["combinations"]) == 2


def test_a_combination_that_fails_is_named_and_can_be_repeated(capsys: Out) -> None:
    call = ["matrix", *withs(), "--with", "compressor=flips"]
    assert main(call) == 1
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "combinations\t2, 1 passed, 1 failed" in lines
    assert "pairs\t15 of 20 worked together, 0 are refused" in lines
    (failed,) = (line for line in lines if line.startswith("FAILED"))
    assert failed.startswith("FAILED  flips-zsmalloc-lru-bounce-memory-filled")
    assert any("AssertionError" in line for line in lines)
    (again,) = (line for line in lines if line.startswith("        again: "))
    program, *words = shlex.split(again.removeprefix("        again: "))
    assert program == "coldpress"
    assert main([*words, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (one,) = report["combinations"]
    assert one["outcome"] == "failed"
    assert one["pipeline"] == {**PLAIN, "compressor": "flips"}
    assert "AssertionError" in one["why"]
    assert report["ok"] is False


def test_a_pipeline_that_wrote_nothing_back_proves_nothing(capsys: Out) -> None:
    assert main(["matrix", *withs(), "--set", "allocator.limit=64MiB"]) == 1
    out = capsys.readouterr().out
    assert "FAILED  lz4-zsmalloc-lru-bounce-memory-filled" in out
    assert (
        "AssertionError: this never happened, so that nothing is proved: evict, begin, extract, "
        "read_into, written_back_pages, refaults" in out
    )


def test_a_part_that_does_nothing_is_a_failure(capsys: Out) -> None:
    assert main(["matrix", *withs(policy="forgets")]) == 1
    assert "FAILED  lz4-zsmalloc-forgets-bounce-memory-filled" in capsys.readouterr().out


def test_what_the_config_refuses_is_listed_and_not_counted(capsys: Out) -> None:
    assert main(["matrix", *withs(), "--with", "allocator=huge", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["pipeline"]["allocator"] for one in report["combinations"]] == ["zsmalloc"]
    assert report["pairs"] == {"all": 20, "worked_together": 15, "refused": 5}
    for refused in report["refused"]:
        assert "allocator huge" in refused["pair"]
        assert "'limit' in [allocator] huge: must be at least 65552KiB" in refused["why"]
    assert main(["matrix", *withs(allocator="huge")]) == 1  # nothing ran
    out = capsys.readouterr().out
    assert "refused: compressor lz4 with allocator huge: 'limit' in [allocator] huge" in out
    assert "combinations\t0, 0 passed, 0 failed" in out


def test_an_entry_type_that_took_nothing_has_met_nobody(capsys: Out) -> None:
    assert main(["matrix", *withs(entry_type="picky")]) == 0
    out = capsys.readouterr().out
    assert "idle: entry type picky took none of the pages, so that its pairs do not count" in out
    assert "pairs\t10 of 15 worked together" in out


def test_a_plugin_that_needs_options_is_left_out_until_they_are_given(capsys: Out) -> None:
    assert main(["matrix", *withs(device="memory"), "--with", "device=remote"]) == 2
    assert capsys.readouterr().err == (
        "coldpress: error: device 'remote' needs --set device.url=VALUE\n"
    )
    given = ["--set", "device.url={scratch}/x"]
    assert main(["matrix", *withs(device="remote"), *given]) == 0
    out = capsys.readouterr().out
    assert "lz4-zsmalloc-lru-bounce-remote-filled" in out


def test_a_role_is_free_without_the_plugins_that_need_options(capsys: Out) -> None:
    assert main(["matrix", *withs(device=""), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plugins"]["device"] == ["file", "memory", "nvme"]
    assert report["left_out"] == [
        {"role": "device", "name": "remote", "why": "needs --set device.url=VALUE"}
    ]


def test_an_option_is_given_to_the_plugins_that_have_it(capsys: Out) -> None:
    given = ["--with", "compressor=none", "--set", "compressor.level=3", "--json"]
    assert main(["matrix", *withs(compressor="zstd"), *given]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["combinations"]) == 2
    assert "--set compressor.level=3" in report["combinations"][0]["again"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--with", "polcy=lru"], "expected ROLE=NAME, got 'polcy=lru'; did you mean 'policy'?"),
        (["--with", "frontend=nbd"], "expected ROLE=NAME, got 'frontend=nbd'; roles: compressor,"),
        (["--with", "policy"], "expected ROLE=NAME, got 'policy'; roles: compressor,"),
        (["--with", "policy=lur"], "unknown policy 'lur'; did you mean 'lru'?"),
        (["--with", "entry_type=packed"], "entry type 'packed' can not be the first of"),
        (["--with", "entry_type=raw"], "entry type 'raw' can not be the first of"),
        (["--set", "levle=3"], "--set levle: expected ROLE.KEY=VALUE, such as device.size=16MiB"),
        (["--set", "level"], "--set level: expected KEY=VALUE, such as allocator.limit=16MiB"),
        (["--set", "compressor.levle=3"], "no compressor that takes part has it; did you mean"),
        (["--set", "policies.x=3"], "--set policies: no role that has options here; did you mean"),
    ],
)
def test_a_wrong_call_is_one_line(words: list[str], message: str, capsys: Out) -> None:
    assert main(["matrix", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_ctrl_c_ends_it_after_a_combination_and_tells_what_was_done() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "coldpress", "matrix", "--with", "device=memory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert first.startswith("ok  ")
    assert (process.returncode, err) == (130, "coldpress: interrupted\n")
    tried = [line for line in (first + out).splitlines() if line.startswith("ok  ")]
    assert f"combinations\t{len(tried)}, {len(tried)} passed, 0 failed" in out
    assert len(tried) <= 2
