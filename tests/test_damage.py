"""What damage does to a device that was closed cleanly: a page is right, or its slot is told of.

A load that can not give the page raises `CorruptBlock`, and nothing else. No other bytes may come,
and nothing older, with one limit that docs/format.md states: damage that takes a block's header and
both copies of a record hides the record, and the opening warns of the block, unless nothing is left
that says that it was used. A superblock is there twice, so one damaged place never keeps a device
from being opened.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import Image, Place, large, small
from once import on_one_python

import coldpress
from coldpress.block import MAGIC
from coldpress.testing.crash import SECTOR
from coldpress.testing.pages import PAGE, same
from coldpress.testing.shapes import described

pytestmark = on_one_python

DAMAGES = int(os.environ.get("COLDPRESS_DAMAGES", "1000"))

Damage = tuple[bytearray, list[range]]
"""The damaged image, and where it is not as it was."""

Kind = Callable[[Image, random.Random], Damage]


@pytest.mark.parametrize("how", ["all bits", "one bit"] if DAMAGES > 1000 else ["all bits"])
def test_each_byte(how: str, record_property: Any) -> None:
    image = small()
    rng = random.Random(1)
    seen: Counter[str] = Counter()
    for at in image.written():
        damaged = bytearray(image.bytes)
        damaged[at] ^= 0xFF if how == "all bits" else 1 << rng.randrange(8)
        found = image.read(damaged)
        assert set(found) <= {"right", "told"}, f"byte {at}: {found}"
        assert found.count("told") <= 2, f"byte {at}: more than one object, a folio at most"
        seen.update(found)
    report(seen, record_property)


def test_a_byte_behind_what_was_written_is_no_damage() -> None:
    image = small()
    written = set(image.written())
    rng = random.Random(1)
    for at in rng.sample(sorted(set(range(len(image.bytes))) - written), 200):
        damaged = bytearray(image.bytes)
        damaged[at] ^= 1 << rng.randrange(8)
        assert set(image.read(damaged)) == {"right"}, f"byte {at}"


@pytest.mark.parametrize("use", ["file", "nvme"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_is_known_by_the_other_superblock(use: str, which: int, tmp_path: Path) -> None:
    image = small()
    damaged = bytearray(image.bytes)
    damaged[which * image.area] ^= 0xFF
    path = tmp_path / "cold.img"
    path.write_bytes(damaged)
    device = {"use": use, "path": str(path), "persistent": True}
    with coldpress.open(described(image.shape(), device=device)) as pipeline:
        for slot, value in enumerate(image.held):
            if value is not None:
                assert same(pipeline.load(slot), value)
    with pytest.raises(coldpress.DeviceError, match="holds what a persistent pipeline keeps"):
        coldpress.open(described(image.shape(), device={**device, "persistent": False}))


def some_bytes(image: Image, rng: random.Random) -> Damage:
    damaged = bytearray(image.bytes)
    length = rng.randrange(1, 65)
    at = rng.choice(image.full_sectors) * SECTOR + rng.randrange(-64, SECTOR)
    at = max(0, min(at, len(damaged) - length))
    damaged[at : at + length] = rng.randbytes(length)
    return damaged, [range(at, at + length)]


def a_sector_of_zeros(image: Image, rng: random.Random) -> Damage:
    return put(image, rng.choice(image.full_sectors), bytes(SECTOR))


def a_sector_of_noise(image: Image, rng: random.Random) -> Damage:
    return put(image, rng.choice(image.full_sectors), rng.randbytes(SECTOR))


def two_sectors_swapped(image: Image, rng: random.Random) -> Damage:
    one, other = rng.sample(image.full_sectors, 2)
    damaged, first = put(image, one, image.sector(other))
    damaged[other * SECTOR : (other + 1) * SECTOR] = image.sector(one)
    return damaged, [*first, range(other * SECTOR, (other + 1) * SECTOR)]


def a_sector_of_another_block(image: Image, rng: random.Random) -> Damage:
    one, other = rng.sample(list(image.blocks()), 2)
    inside = rng.randrange(image.block // SECTOR) * rng.randrange(2)
    return put(image, (one // SECTOR + inside), image.sector(other // SECTOR + inside))


def a_block_over_another(image: Image, rng: random.Random) -> Damage:
    used = [one for one in image.blocks() if any(image.sector(one // SECTOR))]
    one, other = rng.sample(used, 2)
    return put(image, one // SECTOR, image.bytes[other : other + image.block])


def put(image: Image, sector: int, data: bytes) -> Damage:
    damaged = bytearray(image.bytes)
    at = range(sector * SECTOR, sector * SECTOR + len(data))
    damaged[at.start : at.stop] = data
    return damaged, [at]


KINDS: list[Kind] = [
    some_bytes,
    a_sector_of_zeros,
    a_sector_of_noise,
    two_sectors_swapped,
    a_sector_of_another_block,
    a_block_over_another,
]


def both_copies(place: Place, ranges: list[range]) -> bool:
    """Whether damage there touches the header or the table, and the copy or the object."""
    return touches(place.table, ranges) and touches(place.copy, ranges)


def wiped_out(place: Place, damaged: bytearray) -> bool:
    """Whether nothing of the block is left that says that it was used.

    That is zeros in its first page; or, in the last block of all, neither magic nor a record.
    """
    start = place.block.start
    is_last = not any(damaged[place.block.stop :])
    return not any(damaged[start : start + PAGE]) or (
        is_last and damaged[start : start + 4] != MAGIC
    )


def touches(part: range, ranges: list[range]) -> bool:
    return any(one.start < part.stop and part.start < one.stop for one in ranges)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_more_than_a_byte(
    kind: Kind, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(kind.__name__)
    seen: Counter[str] = Counter()
    for number in range(-(-DAMAGES // len(KINDS))):
        if number % 200 == 0:
            image = large(rng.randrange(1 << 30))
            places = image.places()
        damaged, ranges = kind(image, rng)
        found = image.read(damaged)
        seen.update(found)
        hidden = [slot for slot, one in enumerate(found) if one == "older"]
        assert all(both_copies(places[slot], ranges) for slot in hidden), (number, ranges, hidden)
        warned = caplog.records or all(wiped_out(places[slot], damaged) for slot in hidden)
        assert warned, (number, ranges, hidden)
        caplog.clear()
    assert seen["right"] > 50 * seen["told"]
    report(seen, record_property)


def report(seen: Counter[str], record_property: Any) -> None:
    """Tell how many slots ended how: `pytest -s` prints it."""
    assert seen["told"] + seen["older"], "nothing was damaged"
    print(dict(seen))
    record_property("slots", dict(seen))
