from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import fake_plugins
import pytest
from attrs import validators as v
from fake_plugins import concrete, plugin
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import coldpress
import coldpress_plugins
from coldpress import ConfigError
from coldpress.cli import main
from coldpress.config import load_config
from coldpress.config.jsonschema import pipeline_schema
from coldpress.registry import Registry, using
from coldpress.units import PERCENT_PATTERN, SIZE_PATTERN, parse_percent, parse_size

EXAMPLES = Path(__file__).parent.parent / "examples"


def option(kind: Any, validator: Any = None, **default: Any) -> tuple[Any, Any]:
    return kind, coldpress.option(help="what it is", validator=validator, **default)


Acme = concrete(
    coldpress.Compressor,
    "acme",
    many=option(int, v.and_(v.gt(2), v.lt(7), v.ge(1)), default=3),
    part=option(float, [v.ge(0.5), v.le(2)], default=1.0),
    room=option(coldpress.Size, v.le(8192), default=coldpress.Size(4096)),
    share=option(coldpress.Percent, v.ge(0.1), default=coldpress.Percent(0.5)),
    one=option(str, v.in_({"b", "a"}), default="a"),
    rank=option(int | None, v.optional(v.in_([3, 1])), default=None),
    mode=option(Literal["x", "y"] | None, default=None),
    tags=option(tuple[str, ...], default=()),
    either=option(int, v.or_(v.gt(100), v.lt(0)), default=-1),
    letter=option(str, v.in_("abc"), default="a"),
    even=option(int, v.in_(range(0, 10, 2)), default=0),
    never=option(int, v.lt(float("inf")), default=0),
)
Needy = concrete(coldpress.Device, "needy", where=option(str), how=option(int))


Extra = plugin("acme", compressor=[Acme], device=[Needy], entry_type=[fake_plugins.claimer("mine")])
REGISTRY = Registry([(coldpress_plugins, "coldpress", "0.1.0"), (Extra, "acme", "2.1")])
SCHEMA = pipeline_schema(REGISTRY)


def schema_places(source: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> list[str]:
    """The keys at which the schema finds fault with a configuration."""
    return sorted({dotted(path) for path in _paths(Draft202012Validator(schema), source)})


def _paths(validator: Draft202012Validator, source: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for error in validator.iter_errors(source):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":  # it names the table, and means its keys
            for key in error.instance.keys() - error.schema["properties"].keys():
                yield (*path, key)
        else:
            yield path


def dotted(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]


def check_places(source: dict[str, Any], registry: Registry = REGISTRY) -> list[str]:
    """The keys at which `coldpress check` does."""
    try:
        load_config(source, registry=registry)
    except ConfigError as error:
        return sorted({problem.where for problem in error.problems})
    return []


@pytest.mark.parametrize("plugins", ["real", "fake", "none"])
def test_the_schema_is_a_schema(plugins: str) -> None:
    registries = {"real": REGISTRY, "fake": fake_plugins.registry(), "none": Registry()}
    schema = pipeline_schema(registries[plugins])
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize(
    "path",
    # What is composed with others' plugins is checked where those are installed.
    sorted(set(EXAMPLES.rglob("*.toml")) - set(EXAMPLES.glob("third_party/**/*.toml"))),
    ids=lambda path: str(path.relative_to(EXAMPLES)),
)
def test_the_examples_are_taken(path: Path) -> None:
    assert schema_places(tomllib.loads(path.read_text())) == []


GOOD = [
    "",
    "page_size = 4096",
    "page_size = ' 4 KiB '\nslots = 7",
    "entries = ['acme:mine', 'coldpress:raw', 'zswap']",
    "[compressor]",
    "[compressor]\nlevel = -50",
    "[compressor]\nuse = 'coldpress:zstd'\nlevel = 22",
    "[compressor]\nuse = 'acme'\nmany = 6\npart = 2\nroom = '8KiB'\nshare = '50%'\none = 'b'",
    "[compressor]\nuse = 'acme'\nrank = 3\nmode = 'y'\ntags = ['t']\neither = 101",
    "[compressor]\nuse = 'acme'\nletter = 'bc'\neven = 8\nnever = 5",
    "[device]\nuse = 'needy'\nwhere = ''\nhow = 3",
    "[writeback]\nhigh = ' 100.0 %'\naccept = '0%'\npromote = 'first'\nreadahead = true",
    "[cache]\npages = 1",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_check_takes_the_schema_takes(text: str) -> None:
    source = tomllib.loads(text)
    assert (check_places(source), schema_places(source)) == ([], [])


def test_what_has_no_value_may_be_given_as_none() -> None:
    source = {"compressor": {"use": "acme", "rank": None, "mode": None}, "device": {"path": None}}
    assert (check_places(source), schema_places(source)) == ([], [])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("slots = 'many'", "slots"),
        ("slots = true", "slots"),
        ("slots = 1.5", "slots"),
        ("bogus = 1", "bogus"),
        ("[alocator]\nlimit = 1", "alocator"),
        ("page_size = 1.5", "page_size"),
        ("page_size = -4096", "page_size"),
        ("page_size = '64QiB'", "page_size"),
        ("page_size = '4KiB.'", "page_size"),
        ("entries = 'zswap'", "entries"),
        ("entries = ['raw', 'zswp']", "entries[1]"),
        ("entries = ['packed']", "entries[0]"),
        ("compressor = 'lz4'", "compressor"),
        ("[[packer]]", "packer"),
        ("[compressor]\nuse = 'zsdt'", "compressor.use"),
        ("[compressor]\nuse = 'acme:zstd'", "compressor.use"),
        ("[compressor]\nuse = 3", "compressor.use"),
        ("[compressor]\nlevle = 3", "compressor.levle"),
        ("[compressor]\nacceleration = 3", "compressor.acceleration"),
        ("[compressor]\nuse = 'lz4'\nlevel = 3", "compressor.level"),
        ("[compressor]\nlevel = 23", "compressor.level"),
        ("[compressor]\nlevel = -51", "compressor.level"),
        ("[compressor]\nuse = 'coldpress:zstd'\nlevel = '3'", "compressor.level"),
        ("[compressor]\ndictionary = 5", "compressor.dictionary"),
        ("[compressor.sub]\nx = 1", "compressor.sub"),
        ("[compressor]\nuse = 'acme'\nmany = 2", "compressor.many"),
        ("[compressor]\nuse = 'acme'\nmany = 7", "compressor.many"),
        ("[compressor]\nuse = 'acme'\npart = 0.25", "compressor.part"),
        ("[compressor]\nuse = 'acme'\npart = 3", "compressor.part"),
        ("[compressor]\nuse = 'acme'\nroom = 8193", "compressor.room"),
        ("[compressor]\nuse = 'acme'\none = 'c'", "compressor.one"),
        ("[compressor]\nuse = 'acme'\nrank = 2", "compressor.rank"),
        ("[compressor]\nuse = 'acme'\nmode = 'z'", "compressor.mode"),
        ("[compressor]\nuse = 'acme'\ntags = ['a', 1]", "compressor.tags[1]"),
        ("[allocator]\nlimit = true", "allocator.limit"),
        ("[packer]\nblok = '64KiB'", "packer.blok"),
        ("[device]\nuse = 'nvme'", "device"),
        ("[device]\nuse = 'needy'\nwhere = 'x'", "device"),
        ("[device]\npath = 7", "device.path"),
        ("[device]\npersistent = 'no'", "device.persistent"),
        ("[writeback]\nhigh = 0.9", "writeback.high"),
        ("[writeback]\nhigh = '101%'", "writeback.high"),
        ("[writeback]\npromote = 'secnd'", "writeback.promote"),
        ("[writeback]\nreadahead = 1", "writeback.readahead"),
        ("[writeback]\nhi = '9%'", "writeback.hi"),
        ("[cache]\npages = '0'", "cache.pages"),
    ],
)
def test_what_the_schema_refuses_check_refuses_at_the_same_key(text: str, place: str) -> None:
    source = tomllib.loads(text)
    assert schema_places(source) == [place]
    # The type of an item is to check the type of the whole array.
    assert check_places(source) == [place.removesuffix("[1]") if "tags" in place else place]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        # what a validator of coldpress's own or a plugin's own asks
        ("page_size = 5000", "page_size"),
        ("slots = 0", "slots"),
        ("entries = []", "entries"),
        ("[allocator]\nchain = 17", "allocator.chain"),
        ("[packer]\nblock = '64MiB'", "packer.block"),
        ("[cache]\npages = -1", "cache.pages"),
        ("[compressor]\nuse = 'acme'\neither = 5", "compressor.either"),
        ("[compressor]\nuse = 'acme'\nletter = 'd'", "compressor.letter"),
        ("[compressor]\nuse = 'acme'\neven = 3", "compressor.even"),
        # the bound of a size or a percentage that is written as a text
        ("[compressor]\nuse = 'acme'\nroom = '8193B'", "compressor.room"),
        ("[compressor]\nuse = 'acme'\nshare = '5%'", "compressor.share"),
        # texts that look right, and numbers that JSON can not tell apart
        ("[allocator]\nlimit = '100000.3B'", "allocator.limit"),
        ("slots = 7.0", "slots"),
        ("[device]\nsize = 9223372036854775808", "device.size"),
        # what is twice the same
        ("entries = ['raw', 'raw']", "entries[1]"),
        # what holds between keys and between components
        ("[packer]\nblock = '6KiB'", "packer.block"),
        ("[allocator]\nlimit = '127KiB'", "allocator.limit"),
        ("[device]\nsize = '263KiB'", "device.size"),
        ("[cache]\npages = 9999", "cache.pages"),
        ("[writeback]\naccept = '96%'", "writeback.accept"),
        ("[writeback]\npromote = 'never'\nreadahead = true", "writeback.readahead"),
        ("page_size = '64KiB'\n[packer]\nuse = 'bounce'\nblock = '64KiB'", "packer.block"),
        # what is not there
        ("[compressor]\ndictionary = 'nowhere'", "compressor.dictionary"),
    ],
)
def test_what_only_check_finds(text: str, place: str) -> None:
    source = tomllib.loads(text)
    assert (schema_places(source), check_places(source)) == ([], [place])


def test_two_plugins_of_one_name_go_by_their_distributions() -> None:
    other = plugin("acme", compressor=[concrete(coldpress.Compressor, "zstd", speed=option(int))])
    registry = fake_plugins.registry((other, "Acme", "2"))
    schema = pipeline_schema(registry)
    for text, place in (
        ("[compressor]\nuse = 'coldpress:zstd'\nlevel = 3", None),
        ("[compressor]\nuse = 'Acme:zstd'\nspeed = 3", None),
        ("[compressor]\nuse = 'lz4'", None),
        ("[compressor]\nuse = 'Acme:zstd'\nspeed = 3\nlevel = 3", "compressor.level"),
        ("[compressor]\nuse = 'zstd'", "compressor.use"),
        ("[compressor]", "compressor"),
    ):
        source = tomllib.loads(text)
        found = schema_places(source, schema)
        assert found == check_places(source, registry) == ([] if place is None else [place]), text


def test_the_words_are_those_of_the_plugins() -> None:
    compressor = SCHEMA["properties"]["compressor"]
    (acme,) = (one["then"] for one in compressor["allOf"] if one["then"]["title"] == "acme:acme")
    assert acme["description"] == "The acme of the tests.\n\nAnd more of it."
    keys = acme["properties"]
    assert keys["room"] == {
        "description": 'what it is (bytes, written like "64KiB")',
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": 8192,
        "pattern": SIZE_PATTERN,
        "default": "4KiB",
    }
    assert (keys["many"]["exclusiveMinimum"], keys["many"]["minimum"]) == (2, 1)
    assert keys["share"]["default"] == "50%"
    assert keys["one"]["enum"] == ["a", "b"]
    assert keys["rank"] == {
        "description": "what it is",
        "type": ["integer", "null"],
        "enum": [1, 3, None],
        "default": None,
    }
    assert keys["mode"]["enum"] == ["x", "y", None]
    for key in ("either", "letter", "even", "never"):
        assert keys[key].keys() == {"description", "type", "default"}
    assert compressor["properties"]["use"]["default"] == "zstd"
    assert compressor["properties"]["level"] == {"description": "zstd: -50 (fast) to 22 (dense)"}
    (nvme,) = (
        one["then"]
        for one in SCHEMA["properties"]["device"]["allOf"]
        if one["then"]["title"] == "coldpress:nvme"
    )
    assert nvme["required"] == ["path"]
    assert "default" not in nvme["properties"]["path"]


def test_the_command_prints_the_schema_of_what_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with using(REGISTRY):
        assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def by_pattern(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.ASCII) is not None


NUMBERS = st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,3})?", fullmatch=True) | st.text("0.-x", max_size=3)
SPACE = st.sampled_from(["", " ", "\n", "."])


@given(NUMBERS, SPACE, st.sampled_from(["", "B", "KiB", "Mib", "TB", "TiBs"]), SPACE)
def test_the_size_pattern_is_parse_size(number: str, gap: str, unit: str, end: str) -> None:
    text = number + gap + unit + end
    try:
        parse_size(text)
    except ValueError as error:
        assert by_pattern(SIZE_PATTERN, text) == ("whole number" in str(error))
    else:
        assert by_pattern(SIZE_PATTERN, text)


@given(NUMBERS, SPACE, st.sampled_from(["%", "", "%%"]), SPACE)
def test_the_percent_pattern_is_parse_percent(number: str, gap: str, unit: str, end: str) -> None:
    text = number + gap + unit + end
    try:
        parse_percent(text)
    except ValueError:
        assert not by_pattern(PERCENT_PATTERN, text)
    else:
        assert by_pattern(PERCENT_PATTERN, text)
