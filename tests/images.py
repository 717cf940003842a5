"""Images of persistent pipelines, to be damaged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import contents
import pytest

import coldpress
from coldpress.block import HEADER_BYTES, MAGIC, RECORD_BYTES, Header, read_header
from coldpress.config import load_config
from coldpress.image import Image
from coldpress.superblock import decode
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described
from coldpress_plugins.devices.file import FileDevice

SLOTS = 64
BLOCK = 16 << 10

Model = dict[int, bytes]
Damage = Callable[[Path], None]


def shape(path: Path, **tables: Any) -> dict[str, Any]:
    small = {
        "slots": SLOTS,
        "compressor": {"use": "lz4"},
        "allocator": {"limit": "256KiB"},
        "packer": {"block": "16KiB"},
        "device": {"use": "file", "path": str(path), "size": "512KiB", "persistent": True},
    }
    return described(small, **tables)


def opened(path: Path, **tables: Any) -> coldpress.Pipeline:
    return coldpress.Pipeline(load_config(shape(path, **tables)), synchronous=True)


def filled(path: Path, version: int = 1, **tables: Any) -> Model:
    """Objects, a folio, a filled page and a word; slot 5 is emptied and slots from 40 on empty."""
    model = {slot: page("text", slot, version) for slot in range(40)}
    model |= {1: bytes(PAGE), 2: page("word", 2, version), 3: page("random", 3, version)}
    with opened(path, **tables) as pipeline:
        for slot in (*range(16), *range(18, 40)):
            pipeline.store(slot, model[slot])
        pipeline.store(16, model[16] + model[17])
        pipeline.sync()
        pipeline.invalidate(5)
    del model[5]
    return model


def blocks(path: Path) -> dict[int, Header]:
    """The blocks whose headers are whole, by their offsets."""
    image = memoryview(path.read_bytes())
    area = decode(image).area
    starts = range(2 * area, len(image) - BLOCK + 1, BLOCK)
    return {
        at: read_header(image[at : at + BLOCK], PAGE)
        for at in starts
        if bytes(image[at : at + 4]) == MAGIC
    }


def newest_with(path: Path, slot: int) -> tuple[int, int]:
    """The offset of the block with the slot's newest record, and of the record's copy in it."""
    found = [
        (record.sequence, header.identity.sequence, at, at + record.place)
        for at, header in blocks(path).items()
        for record in header.records
        if record.slot <= slot < record.slot + (1 << record.order)
    ]
    *_, block, inline = max(found)
    return block, inline


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path: Path, at: int) -> None:
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 0xFF]))


def damaged_object(slot: int) -> Damage:
    def damage(path: Path) -> None:
        _, inline = newest_with(path, slot)
        flip(path, inline + RECORD_BYTES + 2)

    return damage


def damaged_copy(slot: int) -> Damage:
    def damage(path: Path) -> None:
        _, inline = newest_with(path, slot)
        flip(path, inline + 9)

    return damage


def damaged_older_object(path: Path) -> None:
    for at, header in blocks(path).items():
        for record in header.records:
            if record.slot == 7 and newest_with(path, 7)[0] != at:
                flip(path, at + record.place + RECORD_BYTES + 2)


def damaged_header(path: Path) -> None:
    flip(path, newest_with(path, 7)[0] + 57)


def damaged_table(path: Path) -> None:
    flip(path, newest_with(path, 7)[0] + HEADER_BYTES + 3)


def something_behind_the_last(path: Path) -> None:
    block, _ = newest_with(path, 2)
    header = blocks(path)[block]
    last = header.records[-1]
    overwrite(path, block + last.place + RECORD_BYTES + last.length + 3, b"x")


def damaged_superblock(which: int) -> Damage:
    def damage(path: Path) -> None:
        flip(path, which * decode(memoryview(path.read_bytes())).area + 20)

    return damage


@attrs.define
class Fault:
    """Bytes that can not be read before they were written again."""

    ranges: list[range]

    def check(self, offset: int, length: int) -> None:
        if any(one.start < offset + length and offset < one.stop for one in self.ranges):
            raise coldpress.DeviceError(f"read of {length} bytes at offset {offset} failed: EIO")

    def written(self, offset: int, length: int) -> None:
        left = []
        for one in self.ranges:
            left += [range(one.start, min(one.stop, offset))]
            left += [range(max(one.start, offset + length), one.stop)]
        self.ranges = [one for one in left if one]


@contextmanager
def unreadable(fault: Fault) -> Iterator[None]:
    """While it lasts, no file can be read there."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (FileDevice, Image):
            read = kind.read_into

            def fails(self: Any, offset: int, buffer: memoryview, read: Any = read) -> None:
                fault.check(offset, buffer.nbytes)
                read(self, offset, buffer)

            patch.setattr(kind, "read_into", fails)
        write = FileDevice.write

        def writes(self: FileDevice, offset: int, data: coldpress.Buffer) -> None:
            write(self, offset, data)
            fault.written(offset, memoryview(data).nbytes)

        patch.setattr(FileDevice, "write", writes)
        yield


def holds(
    path: Path,
    model: Model,
    *,
    without: Collection[int] = (),
    but: Mapping[int, type[Exception]] | None = None,
) -> None:
    """Each slot has what it had, is empty as it is said to be, or raises what it is said to."""
    but = but or {}
    with opened(path) as pipeline:
        for slot, error in but.items():
            with pytest.raises(error):
                pipeline.load(slot)
        left = {slot: data for slot, data in model.items() if slot not in without}
        contents.holds(pipeline, left, [slot for slot in range(SLOTS) if slot not in but])
