from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import fake_plugins
import pytest
from fake_plugins import concrete, load, plugin, problems, write

import coldpress
from coldpress.config import load_config
from coldpress.layout import smallest_device
from coldpress.registry import Registry


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_is_the_embedded_default() -> None:
    config = load()
    assert config.names == {
        "compressor": "zstd",
        "allocator": "zsmalloc",
        "policy": "lru",
        "packer": "bounce",
        "device": "file",
    }
    assert (config.page_size, config.slots) == (4096, 1_000_000)
    assert config.entries == ("filled", "zswap", "raw")
    assert [one.name for one in config.entry_types] == [
        *config.entries,
        "packed",
        "shadow",
        "folio",
    ]
    assert (config.writeback.high, config.writeback.accept) == (0.95, 0.9)
    assert (config.writeback.promote, config.writeback.readahead) == ("second", False)
    assert config.cache.pages == 0
    assert (config.allocator.limit, config.packer.block) == (64 << 20, 64 << 10)


def test_the_real_default_is_what_the_documentation_says() -> None:
    config = load_config()
    assert config.names["compressor"] == "zstd"
    assert config.compressor.level == 1  # type: ignore[attr-defined]
    assert config.device.path is None  # type: ignore[attr-defined]
    assert (config.device.size, config.device.persistent) == (1 << 30, False)
    assert (config.allocator.limit, config.packer.block) == (64 << 20, 64 << 10)


FULL = """\
page_size = "16KiB"
slots = 7
entries = ["zswap", "raw"]

[compressor]
use = "lz4"
acceleration = 3
[allocator]
use = "zsmalloc"
limit = "1MiB"
[policy]
use = "fifo"
[packer]
use = "bounce"
block = 131072
[device]
use = "nvme"
path = "/dev/null"
size = "2MiB"
persistent = false
[writeback]
high = "80%"
accept = "80%"
promote = "never"
readahead = false
[cache]
pages = 0
"""


def test_a_full_file_is_taken() -> None:
    config = load(write(FULL))
    assert (config.page_size, config.slots, config.entries) == (16384, 7, ("zswap", "raw"))
    assert config.names["compressor"] == "lz4"
    assert attrs.asdict(config.compressor) == {"acceleration": 3}
    assert attrs.asdict(config.packer) == {"block": 131072}
    assert attrs.asdict(config.device) == {
        "size": 2 << 20,
        "persistent": False,
        "format": False,
        "encrypt": "",
        "path": "/dev/null",
    }
    assert attrs.asdict(config.writeback) == {
        "high": 0.8,
        "accept": 0.8,
        "promote": "never",
        "readahead": False,
    }
    assert [one.name for one in config.entry_types] == ["zswap", "raw", "packed", "shadow", "folio"]


def test_a_path_a_text_and_a_mapping_say_the_same() -> None:
    path = write('slots = 9\n[compressor]\nuse = "none"')
    mapping = {"slots": 9, "compressor": {"use": "none"}}
    for source in (path, str(path), mapping):
        config = load(source)
        assert (config.slots, config.names["compressor"]) == (9, "none")
    assert mapping == {"slots": 9, "compressor": {"use": "none"}}


def test_a_table_without_use_has_the_default_plugin() -> None:
    config = load({"compressor": {"level": 7}})
    assert config.names["compressor"] == "zstd"
    assert config.compressor.level == 7  # type: ignore[attr-defined]


def test_a_plugin_is_picked_by_distribution() -> None:
    other = concrete(coldpress.Compressor, "zstd")
    registry = fake_plugins.registry((plugin("acme", compressor=[other]), "acme", "2"))
    config = load({"compressor": {"use": "acme:zstd"}}, registry=registry)
    assert isinstance(config.compressor, other)
    assert config.names["compressor"] == "acme:zstd"
    (problem,) = problems({"compressor": {"use": "zstd"}}, registry=registry)
    assert problem.startswith("compressor.use: compressor 'zstd' is ambiguous: acme:zstd")


def test_the_smallest_sizes_that_work_are_taken() -> None:
    block = 8192
    config = load(
        {
            "allocator": {"limit": 2 * block},
            "packer": {"block": block},
            "device": {"size": smallest_device(4096, block)},
        }
    )
    assert config.device.size == 2 * 4096 + 4 * block


def test_everything_is_told_at_once_in_the_order_of_the_file() -> None:
    path = write(
        """\
page_size = 5000
pagesize = 4096
entries = ["filled", "zswp", "packed", "filled"]

[compressor]
use = "zstd"
levle = 3
  level = 99
[alocator]
limit = "1MiB"
[allocator]
use = "zsmaloc"
limit = "64QiB"
[packer]
block = true
[device]
use = "nvme"
size = 1.5
[writeback]
high = "80%"
readahead = 1
promote = "secnd"
[cache]
pages = -3
"""
    )
    assert problems(path) == [
        "pipeline.toml:1:1: 'page_size': must be a power of two from 4KiB to 64KiB, got 5000B",
        "pipeline.toml:2:1: unknown key 'pagesize'; did you mean 'page_size'?",
        "pipeline.toml:3:22: unknown entry type 'zswp'; did you mean 'zswap'? "
        "installed: filled, folio, packed, raw, shadow, zswap",
        "pipeline.toml:3:30: 'entries': entry type 'packed' does not claim pages",
        "pipeline.toml:3:40: 'entries': entry type 'filled' stands here twice",
        "pipeline.toml:7:1: unknown key 'levle' in [compressor] zstd; did you mean 'level'?",
        "pipeline.toml:8:3: 'level' in [compressor] zstd: must be <= 22, got 99",
        "pipeline.toml:9:1: unknown table 'alocator'; did you mean 'allocator'?",
        "pipeline.toml:12:1: unknown allocator 'zsmaloc'; did you mean 'zsmalloc'? "
        "installed: zsmalloc",
        "pipeline.toml:13:1: 'limit' in [allocator]: unknown unit 'QiB' in '64QiB'; "
        "known units: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB",
        "pipeline.toml:15:1: 'block' in [packer] bounce: "
        'expected a size such as "64KiB", got True',
        "pipeline.toml:16:1: missing key 'path' in [device] nvme",
        "pipeline.toml:18:1: 'size' in [device] nvme: expected a size such as \"64KiB\", got 1.5",
        "pipeline.toml:20:1: 'accept' in [writeback]: must not be above high, 80%, got 90%",
        "pipeline.toml:21:1: 'readahead' in [writeback]: expected true or false, got 1",
        "pipeline.toml:22:1: 'promote' in [writeback]: "
        """expected "never", "first" or "second", got 'secnd'""",
        "pipeline.toml:24:1: 'pages' in [cache]: must not be negative, got -3",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("slots = \n", ":1:9: not TOML: Invalid value"),
        ("slots = 7\n[packer", ":2:8: not TOML: "),
        ("slots = 7\nslots = 8\n", ":2:10: not TOML: Cannot overwrite a value"),
        ("slots = " + "9" * 5000, ": not TOML that can be read: "),
        ("slots = " + "[" * 100_000, ": not TOML that can be read: nested too deeply"),
        ("a." * 3000 + "a = 1", ": not TOML that can be read: nested too deeply"),
        ("[" + "a . " * 3000 + "a]", ": not TOML that can be read: nested too deeply"),
        ("x = {" + "'a'." * 3000 + "a = 1}", ": not TOML that can be read: nested too deeply"),
        ("x = " + ("{" + "a." * 30 + "a=") * 80 + "1" + "}" * 80, "nested too deeply"),
        ("# " + "a" * (1 << 20), ": more than 1MiB, which no pipeline file needs"),
        ("bogus = 1", ":1:1: unknown key 'bogus'; known: "),
        ("compressor = 'lz4'", ":1:1: 'compressor': expected a table [compressor], got 'lz4'"),
        ("[[packer]]", ":1:1: 'packer': expected a table [packer], got an array"),
        ("[slots]", ":1:1: 'slots': expected an integer, got a table"),
        ("[policy]\nuse = 3", ":2:1: 'use' in [policy]: expected a string, got 3"),
        ("[policy]\nues = 'fifo'", ":2:1: unknown key 'ues' in [policy] lru; did you mean 'use'?"),
        ("[writeback]\nhi = '9%'", ":2:1: unknown key 'hi' in [writeback]; did you mean 'high'?"),
        ("[device.sub]\nx = 1", ":1:1: unknown table 'sub' in [device] file; known: use, size"),
        ("policy.use = 'fito'", ":1:8: unknown policy 'fito'; did you mean 'fifo'? installed: "),
        ("cache = {pages = -1}", ":1:10: 'pages' in [cache]: must not be negative, got -1"),
        (
            "cache.pages = 9999",
            ":1:7: 'pages' in [cache]: must be at most 7167, half of what the pool's limit of "
            "64MiB leaves besides blocks, got 9999",
        ),
        (
            "allocator.limit = '8MiB'\npage_size='16KiB'\ncache.pages = 257",
            ":3:7: 'pages' in [cache]: must be at most 223, half",
        ),
        (
            "entries = ['filled', 'zswap']\ncache.pages = 9",
            ":1:1: 'entries': with [cache] pages there must be a type that takes every page, such",
        ),
        (
            "writeback = {promote = 'never', readahead = true}",
            ":1:33: 'readahead' in [writeback]: nothing can come along, since promote is",
        ),
        ("page_size = '2KiB'", ":1:1: 'page_size': must be a power of two from 4KiB to 64KiB"),
        ("page_size = '128KiB'", "got 128KiB"),
        ("page_size = 12288", "must be a power of two"),
        ("slots = 0", ":1:1: 'slots': must be from 1 to 4294967294, got 0"),
        ("slots = 4294967295", ":1:1: 'slots': must be from 1 to 4294967294, got 4294967295"),
        ("entries = []", ":1:1: 'entries': must name at least one entry type"),
        ("entries = 'zswap'", ":1:1: 'entries': expected an array of strings, got 'zswap'"),
        ("entries = ['raw', 'coldpress:raw']", "entry type 'coldpress:raw' stands here twice"),
        ("entries = ['shadow']", ":1:12: 'entries': entry type 'shadow' does not claim pages"),
        (
            "[packer]\nblock = '64KiB'\n[allocator]\nlimit = '127KiB'",
            ":4:1: 'limit' in [allocator]: must be at least 128KiB, one block of 64KiB in the "
            "pool and one staged, got 127KiB",
        ),
        ("[packer]\nblock = '64MiB'", ":2:1: 'block' in [packer] bounce: must be from 4KiB to"),
        ("[allocator]\nlimit = 0", ":2:1: 'limit' in [allocator] zsmalloc: must be at least one"),
        (
            "[packer]\nblock = '6KiB'",
            ":2:1: 'block' in [packer]: must be a multiple of page_size, 4KiB, got 6KiB",
        ),
        (
            "page_size = '64KiB'\n[packer]\nblock = '32KiB'",
            ":3:1: 'block' in [packer]: must be a multiple of page_size, 64KiB, got 32KiB",
        ),
        ("[device]\nsize = '263KiB'", "must be at least 264KiB for blocks of 64KiB, got 263KiB"),
        ("[writeback]\naccept = '96%'", ":2:1: 'accept' in [writeback]: must not be above high"),
        ("[writeback]\nhigh = 0.9", ":2:1: 'high' in [writeback]: expected a percentage such as"),
        ("[writeback]\nreadahead = 0", "'readahead' in [writeback]: expected true or false, got 0"),
    ],
)
def test_a_problem_names_its_place_and_its_cause(text: str, problem: str) -> None:
    (found,) = problems(write(text))
    assert found.startswith("pipeline.toml:")
    assert problem in found


def test_a_rule_between_two_keys_stands_at_the_one_that_was_written() -> None:
    (problem,) = problems(write("\n[packer]\nblock = '8MiB'\n"), "device.size=10MiB")
    assert problem.startswith("--set device.size: 'size' in [device]: must be at least 32776KiB")
    (problem,) = problems(write("\n[packer]\nblock = '8MiB'\n[device]\n"), "allocator.limit=15MiB")
    assert problem.startswith("--set allocator.limit: 'limit' in [allocator]: must be at least 16")
    (problem,) = problems(write("[packer]\nblock = '8MiB'\n[device]\n"), "device={size='9MiB'}")
    assert problem.startswith("--set device: 'size'")


def test_a_file_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems("nowhere.toml") == ["nowhere.toml: can not be read: No such file or directory"]
    assert problems(tmp_path) == [f"{tmp_path}: can not be read: Is a directory"]
    (problem,) = problems("a\0b")
    assert "can not be read: embedded null" in problem
    Path("latin.toml").write_bytes(b"slots = 7\n# caf\xe9\n")
    assert problems("latin.toml") == ["latin.toml:2: not UTF-8, which a TOML file must be"]

    def deny(path: Path, mode: str) -> object:
        raise PermissionError(13, os.strerror(13), str(path))

    path = write("")
    monkeypatch.setattr(Path, "open", deny)
    assert problems(path) == ["pipeline.toml: can not be read: Permission denied"]


def test_a_mapping_s_problems_have_dotted_keys() -> None:
    source = {
        "slots": 0,
        3: 4,
        "compressor": {"levle": 1},
        "entries": ["raw", "rwa"],
        "device": {"use": "nvme"},
    }
    assert problems(source) == [
        "slots: 'slots': must be from 1 to 4294967294, got 0",
        "3: unknown key '3'; known: compressor, allocator, policy, packer, device, writeback, "
        "cache, page_size, slots, entries",
        "compressor.levle: unknown key 'levle' in [compressor] zstd; did you mean 'level'?",
        "entries[1]: unknown entry type 'rwa'; did you mean 'raw'? "
        "installed: filled, folio, packed, raw, shadow, zswap",
        "device: missing key 'path' in [device] nvme",
    ]


def test_a_default_that_is_not_installed_is_told_without_a_place() -> None:
    classes: Mapping[str, Any] = {
        role: found for role, found in fake_plugins.CLASSES.items() if role != "policy"
    }
    registry = Registry([(plugin(**classes), "d", "1")])
    assert problems(registry=registry) == ["unknown policy 'lru'; no policy is installed"]


def test_a_type_on_the_device_is_offered_no_page() -> None:
    cold = concrete(coldpress.DeviceEntryType, "cold")
    cold.prepare = lambda self, page: bytes(page)
    registry = fake_plugins.registry((plugin("acme", entry_type=[cold]), "acme", "1"))
    assert problems({"entries": ["cold"]}, registry=registry) == [
        "entries[0]: 'entries': entry type 'cold' does not claim pages"
    ]


def test_every_pipeline_needs_the_types_that_claim_nothing() -> None:
    classes = dict(fake_plugins.CLASSES)
    classes["entry_type"] = classes["entry_type"][:3]
    registry = Registry([(plugin(**classes), "d", "1")])
    assert problems(registry=registry) == [
        "unknown entry type 'packed'; installed: filled, raw, zswap",
        "unknown entry type 'shadow'; installed: filled, raw, zswap",
        "unknown entry type 'folio'; installed: filled, raw, zswap",
    ]
