"""Images with any fields and right checksums: nothing comes of them but named errors."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import brotli
import crafted
import lz4.block
import pytest
import zstandard
from crafted import BLOCK, BLOCKS, FIELDS, HEADER, SHAPE_BITS, SLOTS, SUPERBLOCK, Crafted
from hypothesis import given, settings
from hypothesis import strategies as st
from once import on_one_python

from coldpress import salvage as salvaging
from coldpress.block import (
    EPOCH_AT,
    HEADER_BYTES,
    MAGIC,
    PLACE_MASK,
    RECORD_BYTES,
    object_crc,
    read_header,
    read_record,
    shape_of,
)
from coldpress.cli import main
from coldpress.codecs import Codecs
from coldpress.config import load_config
from coldpress.errors import CompressorError, ConfigError
from coldpress.image import Image, read_persistent
from coldpress.inspect import forgetful
from coldpress.knownids import KnownIds
from coldpress.layout import SUPERBLOCK_MAGIC
from coldpress.limits import Limits
from coldpress.mark import Mark
from coldpress.pipeline import Pipeline
from coldpress.registry import default_registry
from coldpress.roles.packer import KIND_TOMBSTONE
from coldpress.scan import State
from coldpress.sealing import Sealing
from coldpress.superblock import COMPRESSOR, ENTRY_TYPE, KnownId, SuperblockError, decode
from coldpress.survey import Survey
from coldpress.testing.crash import Medium
from coldpress.testing.pages import PAGE, same
from coldpress_plugins.compressors.brotli import Brotli
from coldpress_plugins.compressors.lz4 import Lz4
from coldpress_plugins.compressors.zstd import Zstd
from coldpress_plugins.entry_types.filled import Filled

IMAGE, MODEL = crafted.base()
OBJECTS = next(  # a block of which the first record is of an object that counts
    number
    for number in range(BLOCKS)
    if IMAGE[Crafted(IMAGE).block(number) :][:4] == MAGIC
    and read_header(memoryview(IMAGE)[Crafted(IMAGE).block(number) :][:BLOCK], PAGE).records[0].kind
    == 1
)


@pytest.fixture
def image() -> Crafted:
    return Crafted(IMAGE)


def around(bits: int) -> st.SearchStrategy[int]:
    """Numbers of so many bits, mostly such as are next to a limit of something."""
    edges = [(1 << n) + by for n in range(bits + 1) for by in (-1, 0, 1)]
    edges = sorted({one & (1 << bits) - 1 for one in edges})
    return st.one_of(st.sampled_from(edges), st.integers(0, (1 << bits) - 1), st.integers(0, 64))


def changes() -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    numbers = st.integers(0, 15)

    def fields(table: dict[str, crafted.Field]) -> st.SearchStrategy[tuple[str, int]]:
        return st.sampled_from(sorted(table)).flatmap(
            lambda name: st.tuples(st.just(name), around(8 * struct.calcsize(table[name][1])))
        )

    shapes = st.sampled_from(sorted(SHAPE_BITS)).flatmap(
        lambda name: st.tuples(st.just(name), around(SHAPE_BITS[name][1]))
    )
    return st.one_of(
        st.tuples(numbers, fields(SUPERBLOCK)).map(lambda x: ("superblock", (x[0], *x[1]))),
        st.tuples(numbers, fields(HEADER)).map(lambda x: ("header", (x[0], *x[1]))),
        st.tuples(numbers, numbers, st.one_of(shapes, fields(FIELDS))).map(
            lambda x: ("record", (x[0], x[1], *x[2]))
        ),
        st.tuples(numbers, numbers, st.binary(max_size=64)).map(lambda x: ("object", x)),
        st.tuples(numbers, numbers).map(lambda x: ("copy", x)),
        st.tuples(st.integers(0, 1), st.binary(max_size=80)).map(lambda x: ("superblock_ids", x)),
        st.tuples(st.integers(0, len(IMAGE) - 1), around(8)).map(lambda x: ("byte", x)),
    )


@on_one_python
@settings(max_examples=80)
@given(st.lists(changes(), min_size=1, max_size=6))
def test_any_image_gives_named_errors_and_keeps_what_is_stored(
    made: list[tuple[str, tuple[Any, ...]]],
) -> None:
    one = Crafted(IMAGE)
    for name, arguments in made:
        getattr(one, name)(*arguments)
    crafted.tried(one.sealed())


# -- the superblock --------------------------------------------------------------------------


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
    with pytest.raises(ConfigError, match=why):
        known.compressors()


def test_what_a_compressor_raises_on_its_data_is_named() -> None:
    # Bytes with a dictionary's magic number that are none.
    bad = Zstd.from_portable({"level": 1}, struct.pack("<I", 0xEC30A437) + b"none" * 8)
    with pytest.raises(ConfigError, match="what the device has for codec id 7, zstd"):
        Codecs(Lz4(), {7: bad})


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


@pytest.mark.parametrize("payload", [1 << 58 | 1 << 40, (1 << 59) - 1, 1 << 59, 2**64 - 1])
def test_any_payload_of_a_word_gives_a_page_or_an_error(image: Crafted, payload: int) -> None:
    words = next(
        number
        for number in range(BLOCKS)
        if IMAGE[image.block(number) :][:4] == MAGIC
        and read_header(memoryview(IMAGE)[image.block(number) :][:BLOCK], PAGE).records[0].kind == 2
    )
    image.object(words, 0, payload.to_bytes(8, "little"))
    crafted.tried(image.sealed())


# -- blocks ----------------------------------------------------------------------------------


def state_of(image: bytes, block: int) -> State:
    with crafted.in_a_file(image) as path, Image(path) as file:
        return State(Survey(file, read_persistent(file)).scan.states[block])


BAD_HEADERS = [
    ("pages", 4),
    ("pages", 2**32 - 1),
    ("epoch", 1),
    ("epoch", 1 << 20),
    ("sequence", 0),
    ("sequence", 2**64 - 1),
    ("durable", 2**64 - 1),
    ("payload", 1),
    ("payload", 2**32 - 1),
    ("count", 0),
]
BAD_RECORDS = [
    ("slot", SLOTS),
    ("slot", 2**32 - 1),
    ("length", 0),
    ("length", BLOCK),
    ("length", PLACE_MASK),
    ("order", 1),
    ("order", 15),
    ("kind", 0),
    ("kind", 2),
    ("kind", 4),
    ("place", 0),
    ("place", HEADER_BYTES),
    ("place", BLOCK - 1),
    ("sequence", 0),
    ("sequence", 1 << EPOCH_AT),
    ("sequence", 1 << 63),
]


def test_the_block_is_good_before() -> None:
    assert state_of(IMAGE, OBJECTS) == State.GOOD
    crafted.tried(IMAGE)


@pytest.mark.parametrize(("field", "value"), BAD_HEADERS)
def test_a_header_that_none_would_write_is_damaged(image: Crafted, field: str, value: int) -> None:
    image.header(OBJECTS, field, value)
    assert state_of(image.sealed(), OBJECTS) in (State.SALVAGED, State.PARTIAL)
    crafted.tried(image.sealed())


@pytest.mark.parametrize(("field", "value"), BAD_RECORDS)
def test_a_record_that_none_would_write_is_damage(image: Crafted, field: str, value: int) -> None:
    # The last one, or the object behind would be in its way.
    last = image.count(OBJECTS) - 1
    if field == "order":
        image.record(OBJECTS, last, "slot", 7)  # no multiple of any number of pages
    image.record(OBJECTS, last, field, value)
    image.settled(OBJECTS)
    assert state_of(image.sealed(), OBJECTS) in (State.SALVAGED, State.PARTIAL)
    crafted.tried(image.sealed())


def test_objects_over_one_another_are_damage(image: Crafted) -> None:
    first = read_header(memoryview(IMAGE)[image.block(OBJECTS) :][:BLOCK], PAGE).records[0]
    image.record(OBJECTS, 1, "place", first.place + 1)
    assert state_of(image.sealed(), OBJECTS) in (State.SALVAGED, State.PARTIAL)
    crafted.tried(image.sealed())


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


# -- time and memory -------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_salvaging_looks_at_a_bounded_number_of_bytes(
    monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    size = 64 << 10
    block = bytearray(size)
    shape = shape_of(60 << 10 if whole else 30 << 10, 1, 0)
    record = struct.pack("<QIIQ", shape | 200, 1, 0, 3 << EPOCH_AT)
    for at in range(HEADER_BYTES, size - RECORD_BYTES, RECORD_BYTES):
        block[at : at + RECORD_BYTES] = record
    looked = 0
    for name in ("read_object", "object_crc"):
        before = getattr(salvaging, name)

        def counted(*given: Any, before: Any = before, **more: Any) -> Any:
            nonlocal looked
            looked += shape >> 24 & PLACE_MASK
            return before(*given, **more)

        monkeypatch.setattr(salvaging, name, counted)
    limits = Limits(PAGE, size, SLOTS, 2)
    salvaging.salvage(memoryview(block), 0, limits, 5, Sealing(), lambda record: True)
    assert 0 < looked <= 64 * size


def test_records_that_overlap_are_not_all_salvaged() -> None:
    # Each would count: the sum of a large block's would be more than there is room for.
    block = bytearray(BLOCK)
    shape = shape_of(5000, 1, 0)
    for number in range(80):
        table, place = HEADER_BYTES + number * RECORD_BYTES, 3000 + number * RECORD_BYTES
        struct.pack_into("<QIIQ", block, table, shape | place, 1, number, 3 << EPOCH_AT)
        struct.pack_into("<QIIQ", block, place, shape | 9, 1, number, 3 << EPOCH_AT)
    limits = Limits(PAGE, BLOCK, SLOTS, 2)
    found = salvaging.salvage(memoryview(block), 0, limits, 5, Sealing(), lambda record: True)
    assert [at for at, _ in found.records] == [3000]


@pytest.mark.parametrize("place", [BLOCK - RECORD_BYTES + 1, BLOCK, PLACE_MASK])
def test_a_tombstone_s_copy_is_not_looked_for_behind_the_block(place: int) -> None:
    block = memoryview(bytearray(BLOCK))
    shape = shape_of(0, 0, 0, KIND_TOMBSTONE)
    struct.pack_into("<QIIQ", block, HEADER_BYTES, shape | place, 1, 0, 3 << EPOCH_AT)
    limits = Limits(PAGE, BLOCK, SLOTS, 2)
    found = salvaging.salvage(block, 0, limits, 5, Sealing(), lambda record: True)
    assert not found.records


@pytest.mark.parametrize(("epoch", "salvaged"), [(1, 0), (2, 1), (5, 1), (6, 0), (1 << 19, 0)])
def test_a_record_of_no_epoch_is_not_salvaged(epoch: int, salvaged: int) -> None:
    block = bytearray(PAGE)
    struct.pack_into("<QIIQ", block, 1000, shape_of(50, 1, 0) | 9, 1, 0, epoch << EPOCH_AT)
    view = memoryview(block)
    crc = object_crc(read_record(view, 1000), view[1024:1074])
    struct.pack_into("<I", block, 1012, crc)
    limits = Limits(PAGE, PAGE, SLOTS, 2)
    found = salvaging.salvage(view, 0, limits, 5, Sealing(), lambda record: True)
    assert len(found.records) == salvaged


def test_a_size_far_behind_the_image_s_end_costs_nothing(image: Crafted) -> None:
    for number in (0, 1):
        image.superblock(number, "size", 1 << 42)
        image.superblock(number, "area", 1 << 20)
        image.superblock(number, "slots", 2**32 - 2)
    with crafted.in_a_file(image.sealed()) as path, Image(path) as file:
        survey = Survey(file, read_persistent(file))
    assert survey.space.count == 0


@pytest.mark.parametrize(("page_size", "block"), [(0, 4096), (4096, 0), (1 << 31, 1 << 31)])
def test_the_mark_of_a_forgetful_image_is_checked(
    tmp_path: Path, page_size: int, block: int
) -> None:
    page = memoryview(bytearray(PAGE))
    Mark(page_size, block, bytes(16), 1).write(page)
    path = tmp_path / "cold.img"
    path.write_bytes(bytes(page) * 8)
    assert bytes(page[:8]) == SUPERBLOCK_MAGIC
    with Image(str(path)) as file:
        assert forgetful(file) == (None, 0, 0)


def zstd_bomb(says: bool) -> bytes:
    """A frame of 64 MiB in 2 KiB; `says`: its header tells so, else it does not."""
    blocks, size = 512, 128 << 10
    body = b"".join(
        struct.pack("<I", size << 3 | 2 | (number == blocks - 1))[:3] + b"A"
        for number in range(blocks)
    )
    return (b"\x80\x38" + struct.pack("<I", blocks * size) if says else b"\x00\x38") + body


@pytest.mark.parametrize(
    ("compressor", "bomb"),
    [
        (Zstd(), zstd_bomb(True)),
        (Zstd(), zstd_bomb(False)),
        (Zstd(), b"\x00\x88" + struct.pack("<I", PAGE << 3 | 3)[:3] + b"A"),  # a window of 128 MiB
        (Zstd(), zstandard.ZstdCompressor(write_content_size=True).compress(bytes(1 << 26))[4:]),
        (Brotli(), brotli.compress(bytes(1 << 26))),
        (Lz4(), lz4.block.compress(bytes(1 << 23), store_size=False)),
        (Lz4(), lz4.block.compress(bytes(1 << 23))),
    ],
)
def test_a_decompression_bomb_is_an_error_and_little_memory(compressor: Any, bomb: bytes) -> None:
    codecs = Codecs(compressor)
    tracemalloc.start()
    try:
        with pytest.raises(CompressorError):
            codecs.decode(1, bomb, PAGE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_config_is_used_before_what_is_on_the_device(image: Crafted) -> None:
    # Whatever plugins a device names: those of the pipeline are the file's.
    image.superblock_ids(0, id_of(1, COMPRESSOR, b"brotli", b'{"quality": 3}'))
    image.superblock_ids(1, id_of(1, COMPRESSOR, b"brotli", b'{"quality": 3}'))
    with crafted.opened(Medium(image.sealed())) as pipeline:
        assert isinstance(pipeline, Pipeline)
        assert type(pipeline.config.compressor) is type(load_config(crafted.SHAPE).compressor)
