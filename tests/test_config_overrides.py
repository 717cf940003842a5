from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from fake_plugins import load, problems, write


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("override", "table", "key", "value"),
    [
        ("allocator.limit=16MiB", "allocator", "limit", 16 << 20),
        ("allocator.limit = 16777216", "allocator", "limit", 16 << 20),
        ('allocator.limit="16MiB"', "allocator", "limit", 16 << 20),
        ("compressor.level=5", "compressor", "level", 5),
        ("device.path=a=b.img", "device", "path", "a=b.img"),
        ("device.path=", "device", "path", ""),
        ("device.path='7'", "device", "path", "7"),
        ('"device"."path"=x', "device", "path", "x"),
        ("device.path=1\nx=2", "device", "path", "1\nx=2"),
        ("writeback.high=99%", "writeback", "high", 0.99),
        ("writeback={promote='first'}", "writeback", "promote", "first"),
    ],
)
def test_an_override_is_a_toml_value_or_else_text(
    override: str, table: str, key: str, value: object
) -> None:
    path = write("[allocator]\nlimit = '32MiB'\n[compressor]\nlevel = 2\n[writeback]\nhigh='98%'")
    assert getattr(getattr(load(path, override), table), key) == value


def test_the_last_override_of_a_key_holds() -> None:
    assert load({}, "slots=5", "slots=6").slots == 6


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("slots", "--set slots: expected KEY=VALUE, such as allocator.limit=16MiB"),
        ("=3", "--set : expected KEY=VALUE, such as allocator.limit=16MiB"),
        ("a b=3", "--set a b: expected KEY=VALUE, such as allocator.limit=16MiB"),
        ("slots=true", "--set slots: 'slots': expected an integer, got true"),
        ("slots.x=1", "--set slots.x: 'slots' is not a table"),
        ("compressor=lz4", "--set compressor: 'compressor': expected a table [compressor], got 'l"),
        ("compressor.levle=3", "--set compressor.levle: unknown key 'levle' in [compressor] zstd"),
        ("compressor={levle=3}", "--set compressor: unknown key 'levle' in [compressor] zstd"),
        ("compresor.level=3", "--set compresor.level: unknown table 'compresor'; did you mean"),
        ("device.use=nvme", "--set device.use: missing key 'path' in [device] nvme"),
        ("entries=['raw', 'x']", "--set entries: unknown entry type 'x'"),
        ("slots=" + "[" * 100_000, "--set slots: 'slots': expected an integer, got '[[[["),
    ],
)
def test_a_wrong_override_is_named(override: str, problem: str) -> None:
    (found,) = problems(write("slots = 7\n[compressor]\nlevel = 2\n"), override)
    assert found.startswith(problem)


def test_an_override_replaces_a_whole_table() -> None:
    path = write("[device]\nuse = 'nvme'\npath = '/dev/null'\n")
    assert problems(path, "device={use='nvme'}") == [
        "--set device: missing key 'path' in [device] nvme"
    ]


def test_problems_of_overrides_follow_those_of_the_file() -> None:
    found = problems(write("slots = 0\nx = 1"), "packer.block=1", "oops", "cache.pages=-1")
    assert [one.partition(": ")[0] for one in found] == [
        "pipeline.toml:1:1",
        "pipeline.toml:2:1",
        "--set packer.block",
        "--set oops",
        "--set cache.pages",
    ]


def test_another_plugin_drops_the_keys_that_only_the_old_one_had() -> None:
    path = write("[compressor]\nuse = 'zstd'\nlevel = 9\ndictionary = 'd'\n")
    config = load(path, "compressor.use=brotli")
    assert attrs.asdict(config.compressor) == {"level": 9}  # both have it
    assert attrs.asdict(load(path, "compressor.use=lz4").compressor) == {"acceleration": 1}
    config = load(path, "compressor.use=lz4", "compressor.acceleration=4")
    assert attrs.asdict(config.compressor) == {"acceleration": 4}


def test_another_plugin_does_not_hide_what_is_wrong() -> None:
    path = write("[compressor]\nlevel = 21\nlevle = 3\n")
    assert problems(path, "compressor.use=brotli") == [
        "pipeline.toml:2:1: 'level' in [compressor] brotli: must be <= 11, got 21"
    ]
    assert problems(path, "compressor.use=lz4", "compressor.levle=3") == [
        "--set compressor.levle: unknown key 'levle' in [compressor] lz4; known: use, acceleration"
    ]
    assert problems(path, "compressor.use=zstd") == [  # which it was
        "pipeline.toml:3:1: unknown key 'levle' in [compressor] zstd; did you mean 'level'?"
    ]
