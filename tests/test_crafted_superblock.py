"""Superblocks and codec tables that none would write, with right checksums: a named error."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import attrs
import crafted
import pytest
from crafted import Crafted

sys.path.insert(0, str(Path(__file__).parent.parent))  # the package `tests`, as `-m` sees it

from coldpress.block import EPOCH_AT
from coldpress.cli import main
from coldpress.codecs import Codecs
from coldpress.config import load_config
from coldpress.errors import ConfigError
from coldpress.knownids import KnownIds
from coldpress.pipeline import Pipeline
from coldpress.registry import default_registry
from coldpress.roles.packer import KIND_WORD
from coldpress.superblock import COMPRESSOR, ENTRY_TYPE, KnownId, SuperblockError, decode
from coldpress.testing.crash import Medium
from coldpress.testing.pages import PAGE, same
from coldpress_plugins.compressors.lz4 import Lz4
from coldpress_plugins.entry_types.filled import Filled
from tests.fuzz import images
from tests.made import Made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("page_size", value) for value in (0, 2048, 4097, 12288, 1 << 17, 1 << 31)],
        *[("block", value) for value in (0, 1, 6000, 1 << 24, 1 << 31)],
        *[("slots", value) for value in (0, 2**32 - 1, 2**64 - 1)],
        *[("size", value) for value in (0, 4096, 1 << 43, 2**64 - 1)],
        *[("area", value) for value in (0, 1, 8192, 1 << 31)],
        *[("epoch", value) for value in (0, 1, 1 << 20, 2**32 - 1)],
        *[("first_epoch", value) for value in (0, 99, 2**32 - 1)],
        ("durable", 2**64 - 1),
        ("generation", 2**64 - 1),
        ("flags", 2),
        ("ids", 1 << 31),
    ],
)
def test_a_superblock_that_none_would_write_is_none(image: Crafted, field: str, value: int) -> None:
    for number in (0, 1):
        image.superblock(number, field, value)
    with pytest.raises(SuperblockError):
        decode(memoryview(image.sealed())[: crafted.AREA])
    crafted.tried(image.sealed())


REGISTRY = default_registry()
NO_DICTIONARY = struct.pack("<I", 0xEC30A437) + b"none" * 8
"""Bytes with a dictionary's magic number that are none."""


def id_of(
    number: int = 2, kind: int = COMPRESSOR, name: bytes = b"lz4", more: bytes = b""
) -> bytes:
    options = more or b'{"acceleration": 1}'
    return struct.pack("<BBHII", number, kind, len(name), len(options), 0) + name + options


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        id_of()[:-1],
        id_of()[:8] + b"\x01" + id_of()[9:],
        id_of() + b"\0",
        id_of(0),
        id_of(255),
        id_of(kind=0),
        id_of(kind=3),
        id_of() + id_of(),
        id_of(name=b"\xff\xfe"),
        id_of(name=b"\x1b[2J"),
        id_of(more=b"[" * 3000),
        id_of(more=b"{" * 100),
        id_of(more=b"[]"),
        id_of(more=b"7"),
        id_of(more=b'{"a": NaN' + b"9" * 5000),
        id_of(more=b'{"\\u001b[2J": 1}'),
        id_of(more=b'{"a\\nerror: b": 1}'),
        struct.pack("<BBHII", 1, 1, 65535, 2**32 - 1, 2**32 - 1),
    ],
)
def test_codec_tables_that_are_none(image: Crafted, data: bytes) -> None:
    image.superblock_ids(0, data)
    with pytest.raises(SuperblockError, match="codec table"):
        decode(memoryview(image.sealed())[: crafted.AREA])


@pytest.mark.parametrize(
    ("name", "options", "data", "why"),
    [
        ("lz4", {"acceleration": "x"}, b"", "expected an integer"),
        ("lz4", {"acceleration": True}, b"", "expected an integer"),
        ("lz4", {"acceleration": 0}, b"", "must be >= 1"),
        ("lz4", {"speed": 1}, b"", "unexpected keyword"),
        ("zstd", {"level": 1.5}, b"", "expected an integer"),
        ("zstd", {"level": 23}, b"", "must be <= 22"),
        ("zstd", {"level": 1, "dictionary": "/etc/passwd"}, b"", "expected a level alone"),
        ("zstd", {}, b"", "expected a level alone"),
        ("os.system", {}, b"", "unknown compressor"),
    ],
)
def test_options_from_a_device_are_checked_like_others(
    name: str, options: dict[str, Any], data: bytes, why: str
) -> None:
    known = KnownIds([KnownId(1, COMPRESSOR, name, options, data)], default_registry())
    assert known.compressors() == {}
    assert why in known.unusable[1].message


def test_what_a_compressor_raises_on_its_data_is_named() -> None:
    known = KnownIds([KnownId(7, COMPRESSOR, "zstd", {"level": 1}, NO_DICTIONARY)], REGISTRY)
    assert known.compressors() == {}
    assert "pages that 'zstd' compressed: unable to" in known.unusable[7].message


def test_an_id_that_is_unusable_means_nothing_else() -> None:
    known = KnownIds([KnownId(9, COMPRESSOR, "nosuch")], REGISTRY)
    codecs = Codecs(Lz4(), known.compressors(), known.unusable)
    assert codecs.current[0] == 10


UNUSABLE = [
    KnownId(1, COMPRESSOR, "nosuch", {"level": 1}),
    KnownId(1, COMPRESSOR, "lz4", {"acceleration": 0}),
    KnownId(1, COMPRESSOR, "zstd", {"level": 1}, NO_DICTIONARY),
]


@pytest.mark.parametrize("bad", UNUSABLE)
def test_a_compressor_is_needed_if_a_slot_has_what_it_made(bad: KnownId) -> None:
    one = decode(memoryview(images.superblocks()))
    age, body = (one.epoch << EPOCH_AT) + 100, images.bodies()[0]
    ids = [bad, KnownId(2, COMPRESSOR, "lz4", {"acceleration": 1})]

    def image(*newer: Made) -> Medium:
        some = [Made(3, body, age, codec=1), Made(4, body, age, codec=2)]
        return images.made_image([some, list(newer)], lambda one: attrs.evolve(one, ids=ids))

    medium = image()
    with pytest.raises(ConfigError, match=f"pages that '{bad.name}' compressed"):
        images.opened(medium)
    assert medium.events == 0
    with images.opened(image(Made(3, body, age + 1, codec=2))) as pipeline:
        assert len(pipeline.load(3)) == PAGE
        pipeline.store(3, b"ab" * (PAGE // 2))
        pipeline.sync()


@pytest.mark.parametrize(
    "ids",
    [
        *([bad] for bad in UNUSABLE),
        [KnownId(1, ENTRY_TYPE, "nosuch")],
        [KnownId(1, ENTRY_TYPE, "zswap"), KnownId(2, ENTRY_TYPE, "packed")],
        [KnownId(1, ENTRY_TYPE, "filled"), KnownId(2, ENTRY_TYPE, "filled")],
        [KnownId(1, ENTRY_TYPE, "filled", {"x": 1}, b"data"), UNUSABLE[0]],
    ],
)
def test_a_repair_needs_no_ids_that_no_slot_has(ids: list[KnownId], tmp_path: Path) -> None:
    image = images.superblocks(lambda one: attrs.evolve(one, ids=ids))
    image[PAGE + 10] ^= 1
    path = tmp_path / "cold.img"
    path.write_bytes(image)
    assert [main(["fsck", *more, str(path)]) for more in ([], ["--repair"], [])] == [1, 0, 0]


def test_a_repair_names_what_a_slot_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = decode(memoryview(images.superblocks()))
    age = (one.epoch << EPOCH_AT) + 100
    ids = [UNUSABLE[0], KnownId(1, ENTRY_TYPE, "other")]
    object_, word = Made(3, images.bodies()[0], age), Made(3, bytes(8), age, kind=KIND_WORD)
    path = tmp_path / "cold.img"
    for made, name in ((object_, "nosuch"), (word, "other")):
        medium = images.made_image([[made]], lambda one: attrs.evolve(one, ids=ids))
        path.write_bytes(medium.read(0, PAGE) + bytes(PAGE) + medium.read(2 * PAGE, images.SIZE))
        assert main(["fsck", "--repair", str(path)]) == 2
        assert name in capsys.readouterr().err


def test_what_a_codec_table_says_is_not_obeyed_by_the_terminal(
    image: Crafted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (0, 1):
        image.superblock_ids(number, id_of(more=b'{"acceleration": "\\u001b[2J"}'))
    path = tmp_path / "cold.img"
    path.write_bytes(image.sealed())
    assert main(["inspect", str(path)]) == 0
    out, _ = capsys.readouterr()
    assert "\\x1b[2J" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("command", ["check", "inspect", "fsck"])
def test_what_an_error_says_is_not_obeyed_by_the_terminal(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "/nowhere/\x1b[2J\x9b\u202e\udc80.toml\nat the end"]) != 0
    _, error = capsys.readouterr()
    assert r"/nowhere/\x1b[2J\x9b\u202e\udc80.toml" in error
    assert not {"\x1b", "\x9b", "\u202e", "\udc80"} & set(error)
    assert "\nat the end" in error


def test_no_id_is_left_behind_the_last() -> None:
    known = KnownIds([KnownId(254, ENTRY_TYPE, "other")], default_registry())
    with pytest.raises(ConfigError, match="no id left for what 'filled' stores"):
        known.entry_types([Filled()])


@pytest.mark.parametrize("name", ["zswap", "raw", "packed", "shadow", "folio"])
def test_a_word_can_not_claim_to_be_one_that_means_something_in_memory(
    image: Crafted, name: str
) -> None:
    for number in (0, 1):
        image.superblock_ids(
            number, id_of(1, COMPRESSOR) + id_of(1, ENTRY_TYPE, name.encode(), b"{}")
        )
    with pytest.raises(ConfigError, match="an entry type that 'entries' does not name"):
        crafted.opened(Medium(image.sealed())).close()


def test_sequences_far_from_their_limit_leave_room_for_the_next(image: Crafted) -> None:
    for number in (0, 1):
        image.superblock(number, "durable", (1 << 61) - 1000)
        image.superblock(number, "generation", (1 << 61) - 1000 - number)
    crafted.tried(image.sealed())
    medium, page = Medium(image.sealed()), bytes(range(256)) * 16
    with crafted.opened(medium) as pipeline:
        pipeline.store(0, page)
        pipeline.sync()
    with crafted.opened(medium) as pipeline:
        assert same(pipeline.load(0), page)


def test_the_last_epoch_is_refused_by_name(image: Crafted) -> None:
    for number in (0, 1):
        image.superblock(number, "epoch", (1 << 20) - 1)
    with pytest.raises(ConfigError, match="numbers come to an end"):
        crafted.opened(Medium(image.sealed()))


def test_a_config_is_used_before_what_is_on_the_device(image: Crafted) -> None:
    # Whatever plugins a device names: those of the pipeline are the file's.
    image.superblock_ids(0, id_of(1, COMPRESSOR, b"brotli", b'{"quality": 3}'))
    image.superblock_ids(1, id_of(1, COMPRESSOR, b"brotli", b'{"quality": 3}'))
    with crafted.opened(Medium(image.sealed())) as pipeline:
        assert isinstance(pipeline, Pipeline)
        assert type(pipeline.config.compressor) is type(load_config(crafted.SHAPE).compressor)
