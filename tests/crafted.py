"""Images made by hand: any fields, and all checksums right; and what may come of them."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from coldpress import ColdpressError, Pipeline
from coldpress.block import HEADER_BYTES, MAGIC, RECORD, RECORD_BYTES, read_record
from coldpress.config import load_config
from coldpress.fsck import of_blocks, of_superblocks
from coldpress.image import Image, read_persistent
from coldpress.inspect import block_row, identity, ids, slot_rows, superblocks
from coldpress.inspect import of_blocks as figures
from coldpress.superblock import HEAD_BYTES
from coldpress.survey import Survey
from coldpress.testing.crash import CrashDevice, Medium
from coldpress.testing.pages import PAGE, page, same

_WORD = struct.Struct("<I")
_COVERED = struct.Struct("<QIQ")
_PLACE = (1 << 24) - 1

SLOTS = 48
BLOCK = 12 << 10
AREA = 4096
SIZE = 160 << 10
START = 2 * AREA
BLOCKS = (SIZE - START) // BLOCK

SHAPE: dict[str, Any] = {
    "slots": SLOTS,
    "compressor": {"use": "lz4"},
    "allocator": {"use": "zsmalloc", "limit": "96KiB", "chain": 2},
    "packer": {"block": "12KiB"},
    "writeback": {"promote": "first"},
    "device": {"use": "memory", "size": "160KiB"},
}

Field = tuple[int, str]
"""Where it begins, and its letter for `struct`."""

SUPERBLOCK: dict[str, Field] = {
    "magic": (0, "Q"),
    "version": (8, "I"),
    "page_size": (12, "I"),
    "block": (16, "I"),
    "ids": (20, "I"),
    "slots": (24, "Q"),
    "size": (32, "Q"),
    "uuid": (40, "Q"),
    "generation": (56, "Q"),
    "durable": (64, "Q"),
    "epoch": (72, "I"),
    "first_epoch": (76, "I"),
    "area": (80, "I"),
    "flags": (84, "I"),
}
HEADER: dict[str, Field] = {
    "magic": (0, "I"),
    "version": (4, "B"),
    "record_size": (5, "B"),
    "flags": (6, "H"),
    "uuid": (8, "Q"),
    "epoch": (24, "I"),
    "pages": (28, "I"),
    "sequence": (32, "Q"),
    "durable": (40, "Q"),
    "count": (48, "I"),
    "payload": (52, "I"),
    "number": (56, "I"),
}
# Bits of the first word of a record, from and how many; then its other fields.
SHAPE_BITS = {"place": (0, 24), "length": (24, 24), "codec": (48, 8), "kind": (56, 4)}
SHAPE_BITS["order"] = (60, 4)
FIELDS: dict[str, Field] = {"slot": (8, "I"), "sequence": (16, "Q")}


def mend_superblock(area: memoryview) -> None:
    """Give a superblock the checksums that fit its bytes."""
    if len(area) < HEAD_BYTES:
        return
    (length,) = _WORD.unpack_from(area, 20)
    ids = area[HEAD_BYTES : HEAD_BYTES + length]
    _WORD.pack_into(area, 88, zlib.crc32(ids))
    _WORD.pack_into(area, HEAD_BYTES - 4, zlib.crc32(area[: HEAD_BYTES - 4]))


def mend_block(block: memoryview) -> None:
    """Give a block's records, their copies and its header the checksums that fit their bytes.

    Where no block starts nothing is done.
    """
    if len(block) < HEADER_BYTES or bytes(block[: len(MAGIC)]) != MAGIC:
        return
    (count,) = _WORD.unpack_from(block, 48)
    end = min(HEADER_BYTES + RECORD_BYTES * count, len(block) - RECORD_BYTES)
    for at in range(HEADER_BYTES, end, RECORD_BYTES):
        shape, slot, _, sequence = RECORD.unpack_from(block, at)
        place, length = shape & _PLACE, shape >> 24 & _PLACE
        if place + RECORD_BYTES + length > len(block):
            continue
        body = block[place + RECORD_BYTES : place + RECORD_BYTES + length]
        crc = zlib.crc32(body, zlib.crc32(_COVERED.pack(shape & ~_PLACE, slot, sequence)))
        _WORD.pack_into(block, at + 12, crc)
        if place >= end:
            stamp, *_ = struct.unpack_from("<Q", block, 32)
            RECORD.pack_into(block, place, shape & ~_PLACE | stamp & _PLACE, slot, crc, sequence)
    start = zlib.crc32(block[: HEADER_BYTES - 4])
    table = block[HEADER_BYTES : HEADER_BYTES + RECORD_BYTES * count]
    _WORD.pack_into(block, HEADER_BYTES - 4, zlib.crc32(table, start))


class Crafted:
    """An image, to be changed; `sealed` gives it with right checksums."""

    def __init__(self, image: bytes) -> None:
        self.data = bytearray(image)

    def superblock(self, number: int, field: str, value: int) -> None:
        self._put(number % 2 * AREA, SUPERBLOCK[field], value)

    def superblock_ids(self, number: int, data: bytes) -> None:
        """The bytes of the ids, in place of those that were there."""
        at = number % 2 * AREA
        data = data[: AREA - HEAD_BYTES]
        self.data[at + HEAD_BYTES : at + AREA] = data.ljust(AREA - HEAD_BYTES, b"\0")
        self._put(at, SUPERBLOCK["ids"], len(data))

    def header(self, block: int, field: str, value: int) -> None:
        self._put(self.block(block), HEADER[field], value)

    def record(self, block: int, number: int, field: str, value: int) -> None:
        """In the table; its copy is made again when the image is sealed."""
        at = self._record(block, number)
        if field in FIELDS:
            self._put(at, FIELDS[field], value)
            return
        low, bits = SHAPE_BITS[field]
        (word,) = struct.unpack_from("<Q", self.data, at)
        mask = (1 << bits) - 1
        struct.pack_into("<Q", self.data, at, word & ~(mask << low) | (value & mask) << low)

    def object(self, block: int, number: int, data: bytes) -> None:
        """The object's bytes, which become as long as these."""
        self.record(block, number, "length", len(data))
        place = read_record(memoryview(self.data), self._record(block, number)).place
        body = self.block(block) + place + RECORD_BYTES
        end = min(body + len(data), len(self.data))
        self.data[body:end] = data[: end - body]

    def settled(self, block: int) -> None:
        """The header says what the records have together."""
        at = self.block(block) + HEADER_BYTES
        end = at + self.count(block) * RECORD_BYTES
        view = memoryview(self.data)
        records = [read_record(view, one) for one in range(at, end, RECORD_BYTES)]
        self.header(block, "payload", sum(one.room for one in records))

    def byte(self, at: int, value: int) -> None:
        self.data[at % len(self.data)] = value & 255

    def copy(self, source: int, target: int) -> None:
        """One block over another, and its header says that this is its place."""
        at = self.block(source)
        to = self.block(target)
        self.data[to : to + BLOCK] = self.data[at : at + BLOCK]
        self.header(target, "number", target % BLOCKS)

    def block(self, number: int) -> int:
        """The offset of a block."""
        return START + number % BLOCKS * BLOCK

    def count(self, block: int) -> int:
        """Its records, by its header, at least one and as many as it has room for."""
        (count,) = struct.unpack_from("<I", self.data, self.block(block) + HEADER["count"][0])
        return max(1, min(count, (BLOCK - HEADER_BYTES) // RECORD_BYTES))

    def sealed(self) -> bytes:
        view = memoryview(self.data)
        for at in (0, AREA):
            mend_superblock(view[at : at + AREA])
        for number in range(BLOCKS):
            at = self.block(number)
            mend_block(view[at : at + BLOCK])
        return bytes(view)

    def _record(self, block: int, number: int) -> int:
        """Where it stands in the table of its block."""
        return self.block(block) + HEADER_BYTES + number % self.count(block) * RECORD_BYTES

    def _put(self, at: int, field: Field, value: int) -> None:
        offset, letter = field
        bits = 8 * struct.calcsize(letter)
        struct.pack_into(f"<{letter}", self.data, at + offset, value & (1 << bits) - 1)


def opened(medium: Medium) -> Pipeline:
    """The pipeline that the base image is of."""
    config = attrs.evolve(load_config(SHAPE), device=CrashDevice.over(medium))
    return Pipeline(config, synchronous=True)


@functools.cache
def base() -> tuple[bytes, Mapping[int, bytes]]:
    """An image with objects, folios, words, tombstones and blocks with dead objects; its pages."""
    medium = Medium(bytes(SIZE))
    model = {}
    for version in (1, 2):
        pipeline = opened(medium)
        for slot in range(0, 24, version):
            model[slot] = page(("text", "word", "text", "mixed")[slot % 4], slot, version)
            pipeline.store(slot, model[slot])
        for first, pages in ((32, 4), (40, 2)):
            folio = {one: page("text", one, version) for one in range(first, first + pages)}
            model |= folio
            pipeline.store(first, b"".join(folio.values()))
        pipeline.sync()
        for slot in (3, 33, 41):
            model.pop(slot, None)
            pipeline.invalidate(slot)
        pipeline.close()
    return medium.read(0, SIZE), model


def tried(image: bytes) -> None:
    """Look at the image, open it, use it, open it again. Nothing but named errors may come of it,
    and what is stored here and synced has to be there."""
    with quiet(), contextlib.suppress(ColdpressError):
        looked_at(image)
    medium = Medium(image)
    with quiet(), contextlib.suppress(ColdpressError):
        kept = used(opened(medium))
        with contextlib.closing(opened(medium)) as again:
            for slot, wanted in kept.items():
                assert same(again.load(slot), wanted), f"slot {slot} lost what was synced"
            loads(again)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is damaged is told, at length: not while this lasts."""
    logger = logging.getLogger("coldpress")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def used(pipeline: Pipeline) -> dict[int, bytes]:
    """Load everything, store some, sync and close; what is certain to be there then."""
    kept: dict[int, bytes] = {}
    try:
        loads(pipeline)
        loads(pipeline)  # what was promoted, and what was not
        for slot in range(0, SLOTS, 3):
            data = page("mixed" if slot % 2 else "text", slot, 9)
            with contextlib.suppress(ColdpressError):
                pipeline.store(slot, data)
                kept[slot] = data
        with contextlib.suppress(ColdpressError):
            pipeline.invalidate(1)
        pipeline.stats().asdict()
        pipeline.sync()
        for slot, wanted in kept.items():
            assert same(pipeline.load(slot), wanted)
    finally:
        pipeline.close()
    return kept


def loads(pipeline: Pipeline) -> None:
    buffer = bytearray(PAGE)
    for slot in range(SLOTS):
        with contextlib.suppress(ColdpressError):
            assert len(pipeline.load(slot)) == PAGE
        with contextlib.suppress(ColdpressError):
            pipeline.load_many(slot, buffer)


@contextlib.contextmanager
def in_a_file(image: bytes) -> Iterator[str]:
    """The path of a file with these bytes, which no disk has."""
    fd = os.memfd_create("crafted")
    try:
        os.write(fd, image)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def looked_at(image: bytes) -> None:
    """All that `inspect` and `fsck` do."""
    with in_a_file(image) as path, Image(path) as file:
        found = read_persistent(file)
        superblocks(found)
        identity(found.superblock)
        ids(found.superblock)
        list(of_superblocks(found, file.size))
        survey = Survey(file, found)
        figures(survey, file, lambda done: None)
        for number in range(survey.space.count):
            block_row(survey, survey.look(number))
        list(of_blocks(survey, lambda done: None))
        slot_rows(survey, 7, lambda done: None)
