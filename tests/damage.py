"""Images of persistent devices that were closed cleanly, and what is read of them when damaged."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

import attrs

from coldpress.block import HEADER_BYTES, RECORD_BYTES, BlockError, read_header
from coldpress.config import load_config
from coldpress.errors import CorruptBlock, SlotEmpty
from coldpress.layout import SUPERBLOCKS, superblock_area
from coldpress.pipeline import Pipeline
from coldpress.superblock import HEAD_BYTES
from coldpress.testing import CrashDevice, Medium
from coldpress.testing.crash import SECTOR
from coldpress.testing.pages import PAGE
from coldpress.testing.shapes import described

Value = bytes | None

SHAPE: dict[str, Any] = {
    "compressor": {"use": "lz4"},
    "allocator": {"use": "zbud", "limit": "256KiB"},
    "device": {"use": "memory"},
}


def page(slot: int, version: int, length: int) -> bytes:
    """A page of which so many bytes do not shrink; with 0 of a word over and over."""
    if not length:
        return (slot << 16 | version).to_bytes(8, "little") * (PAGE // 8)
    body = random.Random(f"{slot} {version}").randbytes(length)
    return body + bytes(PAGE - length)


@attrs.frozen
class Place:
    """Where the record that counts for a slot is: its block, header and table; copy and object."""

    block: range
    table: range
    copy: range
    sequence: int


class Image:
    """A device's bytes; what each slot holds in the end, and what it held before, or nothing."""

    def __init__(self, slots: int, block: int, size: int) -> None:
        self.slots = slots
        self.block = block
        self.bytes = bytes(size)
        self.held: list[Value] = [None] * slots
        self.before: list[set[Value]] = [{None} for _ in range(slots)]
        self._version = 0

    def shape(self) -> dict[str, Any]:
        """What a pipeline file says of it."""
        size, packer = {"size": len(self.bytes)}, {"block": self.block}
        return described(SHAPE, slots=self.slots, device=size, packer=packer)

    def opened(self, medium: Medium) -> Pipeline:
        """A pipeline with all of the medium. Raises what opening it does."""
        config = attrs.evolve(load_config(self.shape()), device=CrashDevice.over(medium))
        return Pipeline(config, synchronous=True)

    # -- made -------------------------------------------------------------------------------

    def run(self, *steps: tuple[Any, ...]) -> None:
        """Open, do this, close; ("store", slot, pages, length), ("drop", slot) or ("sync",)."""
        medium = Medium(self.bytes)
        with self.opened(medium) as pipeline:
            for step in steps:
                match step:
                    case ("store", slot, pages, length):
                        self._version += 1
                        slots = range(slot, slot + pages)
                        data = [page(one, self._version, length) for one in slots]
                        pipeline.store(slot, b"".join(data))
                        for one, value in zip(slots, data, strict=True):
                            self._holds(one, value)
                    case ("drop", slot):
                        pipeline.invalidate(slot)
                        self._holds(slot, None)
                    case _:
                        pipeline.sync()
        self.bytes = medium.read(0, medium.size)

    def _holds(self, slot: int, value: Value) -> None:
        self.before[slot].add(self.held[slot])
        self.held[slot] = value

    # -- looked at, without a pipeline ------------------------------------------------------

    @property
    def area(self) -> int:
        """Bytes of a superblock."""
        return superblock_area(PAGE, len(self.bytes), True)

    def written(self) -> Iterator[int]:
        """The offsets of all bytes but for the zeros behind superblocks and objects."""
        for at in (0, self.area):
            data = memoryview(self.bytes)[at : at + self.area]
            ids = int.from_bytes(data[20:24], "little")
            yield from range(at, at + HEAD_BYTES + ids)
        for start in self.blocks():
            end = len(self.bytes[start : start + self.block].rstrip(b"\0"))
            yield from range(start, start + end)

    def blocks(self) -> range:
        """The offsets of all blocks."""
        start = SUPERBLOCKS * self.area
        count = (len(self.bytes) - start) // self.block
        return range(start, start + count * self.block, self.block)

    @functools.cached_property
    def full_sectors(self) -> list[int]:
        """The numbers of the sectors that are not zeros."""
        numbers = range(len(self.bytes) // SECTOR)
        return [number for number in numbers if any(self.sector(number))]

    def sector(self, number: int) -> bytes:
        return self.bytes[number * SECTOR : (number + 1) * SECTOR]

    def places(self) -> dict[int, Place]:
        """Of each slot, if there is a record of it, the one that counts."""
        found: dict[int, Place] = {}
        for start in self.blocks():
            try:
                header = read_header(memoryview(self.bytes)[start : start + self.block], PAGE)
            except BlockError:
                continue
            table = range(start, start + HEADER_BYTES + RECORD_BYTES * len(header.records))
            for one in header.records:
                at = start + one.place
                copy = range(at, at + RECORD_BYTES + one.length)
                place = Place(range(start, start + self.block), table, copy, one.sequence)
                for slot in range(one.slot, one.slot + (1 << one.order)):
                    if slot not in found or one.sequence > found[slot].sequence:
                        found[slot] = place
        return found

    # -- read -------------------------------------------------------------------------------

    def read(self, image: bytes | bytearray) -> list[str]:
        """What becomes of each slot if these are the bytes.

        "right"; "told", by an error that names the slot; "older", what it held before, or nothing.
        Any other error is raised, and other bytes are an `AssertionError`.
        """
        pipeline = self.opened(Medium(image))
        try:
            return [self._read(pipeline, slot) for slot in range(self.slots)]
        finally:
            pipeline._close()

    def _read(self, pipeline: Pipeline, slot: int) -> str:
        value: Value
        try:
            value = pipeline.load(slot)
        except SlotEmpty:
            value = None
        except CorruptBlock as error:
            assert error.slot == slot
            return "told"
        if value == self.held[slot]:
            return "right"
        assert value in self.before[slot], f"slot {slot} holds what it never held"
        return "older"


def small() -> Image:
    """One of each kind of record, and older ones of the same slots, in few bytes."""
    image = Image(slots=20, block=8 << 10, size=128 << 10)
    objects = [("store", slot, 1, 20) for slot in range(7)]
    image.run(*objects, ("store", 8, 2, 30), ("store", 12, 1, 0), ("store", 13, 1, 0), ("sync",))
    image.run(("store", 1, 1, 20), ("drop", 2), ("drop", 12), ("drop", 5), ("drop", 6), ("sync",))
    image.run(("store", 12, 1, 20), ("store", 4, 1, 20), ("sync",), ("drop", 4))
    image.run(("store", 3, 1, 0), ("store", 13, 1, 20), ("store", 8, 1, 20), ("drop", 12))
    return image


def large(seed: int) -> Image:
    """A random history of a fuller device, on which blocks were used more than once."""
    rng = random.Random(seed)
    image = Image(slots=128, block=16 << 10, size=768 << 10)
    for _ in range(4):
        steps: list[tuple[Any, ...]] = []
        for _ in range(200):
            slot, what = rng.randrange(128), rng.random()
            if what < 0.6:
                steps.append(("store", slot, 1, rng.choice([0, 40, 400, 1500, 4096])))
            elif what < 0.7:
                steps.append(("store", slot & ~3, 4, 400))
            elif what < 0.97:
                steps.append(("drop", slot))
            else:
                steps.append(("sync",))
        image.run(*steps)
    return image
