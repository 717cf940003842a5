"""What an image with right checksums may cost: time and memory have bounds."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import attrs
import brotli
import crafted
import lz4.block
import pytest
import zstandard
from crafted import BLOCK, SLOTS, Crafted

sys.path.insert(0, str(Path(__file__).parent.parent))  # the package `tests`, as `-m` sees it

from coldpress import salvage as salvaging
from coldpress.block import (
    EPOCH_AT,
    HEADER_BYTES,
    MAGIC,
    PLACE_MASK,
    RECORD_BYTES,
    object_crc,
    read_record,
    shape_of,
)
from coldpress.codecs import Codecs
from coldpress.durable import DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.errors import CompressorError
from coldpress.image import Image, read_persistent
from coldpress.inspect import forgetful
from coldpress.layout import SUPERBLOCK_MAGIC
from coldpress.limits import Limits
from coldpress.mark import Mark
from coldpress.roles.packer import KIND_TOMBSTONE, KIND_WORD
from coldpress.sealing import Sealing
from coldpress.superblock import decode
from coldpress.survey import Survey
from coldpress.testing import Medium
from coldpress.testing.memory import MIB, process_bytes
from coldpress.testing.pages import PAGE
from coldpress.tombstones import drop_tombstones
from coldpress_plugins.compressors.brotli import Brotli
from coldpress_plugins.compressors.lz4 import Lz4
from coldpress_plugins.compressors.zstd import Zstd
from tests.fuzz import images
from tests.made import Made


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
    limits = Limits(64 << 10, size, SLOTS, 2)
    salvaging.salvage(memoryview(block), 0, limits, Sealing(), lambda record: True)
    assert 0 < looked <= 64 * size


def test_records_that_overlap_are_not_all_salvaged() -> None:
    # Each would count: the sum of a large block's would be more than there is room for.
    block = bytearray(BLOCK)
    shape = shape_of(4000, 1, 0)
    for number in range(80):
        table, place = HEADER_BYTES + number * RECORD_BYTES, 3000 + number * RECORD_BYTES
        struct.pack_into("<QIIQ", block, table, shape | place, 1, number, 3 << EPOCH_AT)
        struct.pack_into("<QIIQ", block, place, shape | 9, 1, number, 3 << EPOCH_AT)
    limits = Limits(PAGE, BLOCK, SLOTS, 2)
    found = salvaging.salvage(memoryview(block), 0, limits, Sealing(), lambda record: True)
    assert [at for at, _ in found.records] == [3000]


def test_a_table_that_went_astray_hides_no_object() -> None:
    """Of a tombstone in it, all is right but that its copy is not there, where an object is."""
    block = memoryview(bytearray(BLOCK))
    at, length = 718, 300
    struct.pack_into("<QIIQ", block, at, shape_of(length, 1, 0) | 9, 4, 0, 3 << EPOCH_AT)
    body = block[at + RECORD_BYTES : at + RECORD_BYTES + length]
    struct.pack_into("<I", block, at + 12, object_crc(read_record(block, at), body))
    for number, place in enumerate((at - 6, at + 6, at + RECORD_BYTES + length)):
        table, shape = HEADER_BYTES + number * RECORD_BYTES, shape_of(0, 0, 0, KIND_TOMBSTONE)
        struct.pack_into("<QIIQ", block, table, shape | place, 5 + number, 0, 3 << EPOCH_AT)
        crc = object_crc(read_record(block, table), block[:0])
        struct.pack_into("<I", block, table + 12, crc)
    limits = Limits(PAGE, BLOCK, SLOTS, 2)
    found = salvaging.salvage(block, 0, limits, Sealing(), lambda record: True)
    assert [record.slot for _, record in found.records] == [4, 7]


@pytest.mark.parametrize("place", [BLOCK - RECORD_BYTES + 1, BLOCK, PLACE_MASK])
def test_a_tombstone_s_copy_is_not_looked_for_behind_the_block(place: int) -> None:
    block = memoryview(bytearray(BLOCK))
    shape = shape_of(0, 0, 0, KIND_TOMBSTONE)
    struct.pack_into("<QIIQ", block, HEADER_BYTES, shape | place, 1, 0, 3 << EPOCH_AT)
    limits = Limits(PAGE, BLOCK, SLOTS, 2)
    found = salvaging.salvage(block, 0, limits, Sealing(), lambda record: True)
    assert not found.records


@pytest.mark.parametrize(("epoch", "salvaged"), [(1, 0), (2, 1), (5, 1), ((1 << 20) - 1, 1)])
def test_a_record_of_no_epoch_is_not_salvaged(epoch: int, salvaged: int) -> None:
    block = bytearray(PAGE)
    struct.pack_into("<QIIQ", block, 1000, shape_of(50, 1, 0) | 9, 1, 0, epoch << EPOCH_AT)
    view = memoryview(block)
    crc = object_crc(read_record(view, 1000), view[1024:1074])
    struct.pack_into("<I", block, 1012, crc)
    limits = Limits(PAGE, PAGE, SLOTS, 2)
    found = salvaging.salvage(view, 0, limits, Sealing(), lambda record: True)
    assert len(found.records) == salvaged


def test_a_size_far_behind_the_image_s_end_costs_nothing(image: Crafted) -> None:
    for number in (0, 1):
        image.superblock(number, "size", 1 << 42)
        image.superblock(number, "area", 1 << 20)
        image.superblock(number, "slots", 2**32 - 2)
    with crafted.in_a_file(image.sealed()) as path, Image(path) as file:
        survey = Survey(file, read_persistent(file))
    assert survey.space.count == 0


FAR = 1 << 10
"""Slots from one record to the next: no two have a page of a table in common."""


def scattered(kind: int, slots: int) -> Medium:
    """An image full of records of this kind, each far from the others."""
    size = 8 if kind == KIND_WORD else 0
    per_block = (images.BLOCK - HEADER_BYTES) // (2 * RECORD_BYTES + size)
    count = (images.SIZE - images.START) // images.BLOCK
    one = decode(memoryview(images.superblocks()))
    made = [
        Made(number * FAR, bytes(size), one.epoch << EPOCH_AT, kind=kind)
        for number in range(count * per_block)
    ]
    blocks = [made[at : at + per_block] for at in range(0, len(made), per_block)]
    return images.made_image(blocks, lambda one: attrs.evolve(one, slots=slots))


def test_slots_far_from_each_other_take_memory_as_the_image_has_bytes() -> None:
    data = scattered(KIND_WORD, 2**32 - 2).read(0, images.SIZE)
    with crafted.in_a_file(data) as path:
        for turn in range(2):  # the first time, Python takes some for itself
            with Image(path) as file:
                before = process_bytes()
                survey = Survey(file, read_persistent(file))
                more = process_bytes() - before
                assert survey.slots.words > 1500
                assert [survey.where(slot) > 0 for slot in (0, 1, FAR, FAR + 16)] == [1, 0, 1, 0]
            del survey
            assert not turn or more < 4 * MIB


def test_tombstones_far_from_each_other_are_dropped_one_by_one() -> None:
    slots = 1 << 24
    medium = scattered(KIND_TOMBSTONE, slots)
    with images.opened(medium, change=lambda config: attrs.evolve(config, slots=slots)) as pipeline:
        store, entries = pipeline._store, pipeline._entries
        assert isinstance(store, DurableStore)
        assert isinstance(entries, DurableEntries)
        wanted = entries.tombstones
        tracemalloc.start()
        try:
            assert drop_tombstones(store, entries, PAGE) == wanted > 1500
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2 * MIB
        assert entries.tombstones == 0


@pytest.mark.parametrize(
    ("page_size", "block"),
    [
        *[(0, 4096), (2048, 4096), (4097, 4097), (12288, 12288), (1 << 31, 1 << 31)],
        *[(4096, block) for block in (0, 1, 8, 2048, 4097, 6144, 1 << 24)],
        (8192, 4096),
    ],
)
def test_the_mark_of_a_forgetful_image_is_checked(
    tmp_path: Path, page_size: int, block: int
) -> None:
    page = memoryview(bytearray(PAGE))
    Mark(page_size, block, bytes(16), 1).write(page)
    path = tmp_path / "cold.img"
    path.write_bytes(bytes(page) + bytes(PAGE) + MAGIC * (6 * PAGE // len(MAGIC)))
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
