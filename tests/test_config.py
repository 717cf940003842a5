from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import fake_plugins
import pytest
from fake_plugins import concrete, plugin
from hypothesis import given
from hypothesis import strategies as st

import coldpress
from coldpress import ConfigError
from coldpress.config import PipelineConfig, load_config
from coldpress.layout import smallest_device
from coldpress.registry import Registry

REGISTRY = fake_plugins.registry()
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `pipeline.toml` in the working directory; messages then have that short name."""
    monkeypatch.chdir(tmp_path)

    def write_text(text: str) -> Path:
        path = Path("pipeline.toml")
        path.write_bytes(text.encode())
        return path

    return write_text


def load(source: Any = None, *overrides: str, registry: Registry = REGISTRY) -> PipelineConfig:
    return load_config(source, overrides=overrides, registry=registry)


def problems(source: Any = None, *overrides: str, registry: Registry = REGISTRY) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(source, *overrides, registry=registry)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


# -- what is right ------------------------------------------------------------------------------


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
    assert [one.name for one in config.entry_types] == [*config.entries, "packed", "shadow"]
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


def test_a_full_file_is_taken(write: Write) -> None:
    config = load(write(FULL))
    assert (config.page_size, config.slots, config.entries) == (16384, 7, ("zswap", "raw"))
    assert config.names["compressor"] == "lz4"
    assert attrs.asdict(config.compressor) == {"acceleration": 3}
    assert attrs.asdict(config.packer) == {"block": 131072}
    assert attrs.asdict(config.device) == {
        "size": 2 << 20,
        "persistent": False,
        "path": "/dev/null",
    }
    assert attrs.asdict(config.writeback) == {
        "high": 0.8,
        "accept": 0.8,
        "promote": "never",
        "readahead": False,
    }
    assert [one.name for one in config.entry_types] == ["zswap", "raw", "packed", "shadow"]


def test_a_path_a_text_and_a_mapping_say_the_same(write: Write) -> None:
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


# -- what is wrong ------------------------------------------------------------------------------


def test_everything_is_told_at_once_in_the_order_of_the_file(write: Write) -> None:
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
readahead = true
promote = "secnd"
[cache]
pages = 3
"""
    )
    assert problems(path) == [
        "pipeline.toml:1:1: 'page_size': must be a power of two from 4KiB to 64KiB, got 5000B",
        "pipeline.toml:2:1: unknown key 'pagesize'; did you mean 'page_size'?",
        "pipeline.toml:3:22: unknown entry type 'zswp'; did you mean 'zswap'? "
        "installed: filled, packed, raw, shadow, zswap",
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
        "pipeline.toml:21:1: 'readahead' in [writeback]: "
        "not available in this version: only false is possible",
        "pipeline.toml:22:1: 'promote' in [writeback]: "
        """expected "never", "first" or "second", got 'secnd'""",
        "pipeline.toml:24:1: 'pages' in [cache]: not available in this version: only 0 is possible",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("slots = \n", ":1:9: not TOML: Invalid value"),
        ("slots = 7\n[packer", ":2:8: not TOML: "),
        ("slots = 7\nslots = 8\n", ":2:10: not TOML: Cannot overwrite a value"),
        ("slots = " + "9" * 5000, ": not TOML that can be read: "),
        ("slots = " + "[" * 100_000, ": not TOML that can be read: nested too deeply"),
        ("bogus = 1", ":1:1: unknown key 'bogus'; known: "),
        ("compressor = 'lz4'", ":1:1: 'compressor': expected a table [compressor], got 'lz4'"),
        ("[[packer]]", ":1:1: 'packer': expected a table [packer], got an array"),
        ("[slots]", ":1:1: 'slots': expected an integer, got a table"),
        ("[policy]\nuse = 3", ":2:1: 'use' in [policy]: expected a string, got 3"),
        ("[policy]\nues = 'fifo'", ":2:1: unknown key 'ues' in [policy] lru; did you mean 'use'?"),
        ("[writeback]\nhi = '9%'", ":2:1: unknown key 'hi' in [writeback]; did you mean 'high'?"),
        ("[device.sub]\nx = 1", ":1:1: unknown table 'sub' in [device] file; known: use, size"),
        ("policy.use = 'fito'", ":1:8: unknown policy 'fito'; did you mean 'fifo'? installed: "),
        ("cache = {pages = 1}", ":1:10: 'pages' in [cache]: not available"),
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
        ("[device]\npersistent = true", ":2:1: 'persistent' in [device] file: this version"),
        ("[writeback]\naccept = '96%'", ":2:1: 'accept' in [writeback]: must not be above high"),
        ("[writeback]\nhigh = 0.9", ":2:1: 'high' in [writeback]: expected a percentage such as"),
        ("[writeback]\nreadahead = 0", "'readahead' in [writeback]: expected true or false, got 0"),
    ],
)
def test_a_problem_names_its_place_and_its_cause(write: Write, text: str, problem: str) -> None:
    (found,) = problems(write(text))
    assert found.startswith("pipeline.toml:")
    assert problem in found


def test_a_rule_between_two_keys_stands_at_the_one_that_was_written(write: Write) -> None:
    (problem,) = problems(write("\n[packer]\nblock = '8MiB'\n"), "device.size=10MiB")
    assert problem.startswith("--set device.size: 'size' in [device]: must be at least 32776KiB")
    (problem,) = problems(write("\n[packer]\nblock = '8MiB'\n[device]\n"), "allocator.limit=15MiB")
    assert problem.startswith("--set allocator.limit: 'limit' in [allocator]: must be at least 16")
    (problem,) = problems(write("[packer]\nblock = '8MiB'\n[device]\n"), "device={size='9MiB'}")
    assert problem.startswith("--set device: 'size'")


def test_a_file_that_can_not_be_read(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems("nowhere.toml") == ["nowhere.toml: can not be read: No such file or directory"]
    assert problems(tmp_path) == [f"{tmp_path}: can not be read: Is a directory"]
    (problem,) = problems("a\0b")
    assert "can not be read: embedded null" in problem
    Path("latin.toml").write_bytes(b"slots = 7\n# caf\xe9\n")
    assert problems("latin.toml") == ["latin.toml:2: not UTF-8, which a TOML file must be"]

    def deny(path: Path) -> bytes:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(Path, "read_bytes", deny)
    assert problems(write("")) == ["pipeline.toml: can not be read: Permission denied"]


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
        "installed: filled, packed, raw, shadow, zswap",
        "device: missing key 'path' in [device] nvme",
    ]


def test_a_default_that_is_not_installed_is_told_without_a_place() -> None:
    classes: Mapping[str, Any] = {
        role: found for role, found in fake_plugins.CLASSES.items() if role != "policy"
    }
    registry = Registry([(plugin(**classes), "d", "1")])
    assert problems(registry=registry) == ["unknown policy 'lru'; no policy is installed"]


def test_every_pipeline_needs_the_types_that_claim_nothing() -> None:
    classes = dict(fake_plugins.CLASSES)
    classes["entry_type"] = classes["entry_type"][:3]
    registry = Registry([(plugin(**classes), "d", "1")])
    assert problems(registry=registry) == [
        "unknown entry type 'packed'; installed: filled, raw, zswap",
        "unknown entry type 'shadow'; installed: filled, raw, zswap",
    ]


# -- overrides ----------------------------------------------------------------------------------


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
    write: Write, override: str, table: str, key: str, value: object
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
def test_a_wrong_override_is_named(write: Write, override: str, problem: str) -> None:
    (found,) = problems(write("slots = 7\n[compressor]\nlevel = 2\n"), override)
    assert found.startswith(problem)


def test_problems_of_overrides_follow_those_of_the_file(write: Write) -> None:
    found = problems(write("slots = 0\nx = 1"), "packer.block=1", "oops", "cache.pages=-1")
    assert [one.partition(": ")[0] for one in found] == [
        "pipeline.toml:1:1",
        "pipeline.toml:2:1",
        "--set packer.block",
        "--set oops",
        "--set cache.pages",
    ]


def test_another_plugin_drops_the_keys_that_only_the_old_one_had(write: Write) -> None:
    path = write("[compressor]\nuse = 'zstd'\nlevel = 9\ndictionary = 'd'\n")
    config = load(path, "compressor.use=brotli")
    assert attrs.asdict(config.compressor) == {"level": 9}  # both have it
    assert attrs.asdict(load(path, "compressor.use=lz4").compressor) == {"acceleration": 1}
    config = load(path, "compressor.use=lz4", "compressor.acceleration=4")
    assert attrs.asdict(config.compressor) == {"acceleration": 4}


def test_another_plugin_does_not_hide_what_is_wrong(write: Write) -> None:
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


# -- validators of plugins ----------------------------------------------------------------------


def both(instance: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if value > instance.most:
        raise ValueError(f"must not be above most, {instance.most}, got {value}")


def compressor(**options: Any) -> Registry:
    fake = concrete(coldpress.Compressor, "acme", **options)
    return fake_plugins.registry((plugin("acme", compressor=[fake]), "acme", "1"))


@pytest.mark.parametrize(
    ("kind", "validator", "value", "message"),
    [
        (int, attrs.validators.ge(3), 2, "must be >= 3, got 2"),
        (str, attrs.validators.in_(["a", "b"]), "c", "must be in ['a', 'b'], got 'c'"),
        (str, attrs.validators.matches_re("[a-z]+"), "7", "must match regex '[a-z]+' ('7' doesn't"),
        (str, attrs.validators.min_len(2), "a", "Length of 'x' must be >= 2: 1"),
        (
            int,
            attrs.validators.or_(attrs.validators.gt(5), attrs.validators.lt(3)),
            4,
            "4 is not possible",
        ),
        (int, attrs.validators.not_(attrs.validators.in_([4])), 4, "4 is not possible"),
        (int | None, attrs.validators.ge(3), None, "none is not possible"),
        (str, lambda *_: Path("nowhere").read_text(), "x", "No such file or directory"),
        (str, lambda *_: b"\xff".decode(), "x", "can't decode byte"),
        (str, lambda *_: int("two\nlines"), "x", "invalid literal for int"),
        (str, lambda *_: [][0], "x", "list index out of range"),
    ],
)
def test_a_validator_s_message_is_fit_for_users(
    kind: Any, validator: Any, value: object, message: str
) -> None:
    registry = compressor(x=(kind, coldpress.option(help="", validator=validator)))
    (problem,) = problems({"compressor": {"use": "acme", "x": value}}, registry=registry)
    assert problem.startswith("compressor.x: 'x' in [compressor] acme: ")
    assert message in problem
    assert not any(ugly in problem for ugly in ("\n", "<class", "validator", "Attribute("))


def test_a_validator_sees_the_other_fields() -> None:
    registry = compressor(
        least=(int, coldpress.option(default=1, help="", validator=both)),
        most=(int, coldpress.option(default=5, help="")),
    )
    assert load({"compressor": {"use": "acme", "least": 5}}, registry=registry)
    (problem,) = problems({"compressor": {"use": "acme", "least": 6}}, registry=registry)
    assert "'least' in [compressor] acme: must not be above most, 5, got 6" in problem


def test_an_error_of_the_whole_component_stands_at_its_table(write: Write) -> None:
    @attrs.define(slots=False, eq=False, kw_only=True)
    class Picky(fake_plugins.Lz4):  # type: ignore[misc]
        name = "picky"

        def __attrs_post_init__(self) -> None:
            raise RuntimeError("not on a Sunday")

    registry = fake_plugins.registry((plugin("acme", compressor=[Picky]), "acme", "1"))
    assert problems(write("slots = 0\n[compressor]\nuse = 'picky'"), registry=registry) == [
        "pipeline.toml:1:1: 'slots': must be from 1 to 4294967294, got 0",
        "pipeline.toml:2:1: [compressor] picky: not on a Sunday",
    ]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ["use", "level", "limit", "block", "size", "path", "high", "accept", "promote", "pages"]
TABLES = ["compressor", "allocator", "packer", "device", "writeback", "cache", "slots", "entries"]


@given(
    st.dictionaries(
        st.sampled_from(TABLES),
        st.dictionaries(st.sampled_from(KEYS), ANY | st.sampled_from(["lz4", "nvme"])) | ANY,
    )
)
def test_whatever_is_given_is_taken_or_told(source: dict[str, Any]) -> None:
    try:
        load(source)
    except ConfigError as error:
        assert error.problems
        assert all("\n" not in str(problem) or "\\n" in str(problem) for problem in error.problems)
