"""Headers, records and words that none would write, with right checksums: damage, told as such."""

from __future__ import annotations

import crafted
import pytest
from crafted import BLOCK, BLOCKS, SLOTS, Crafted, base

from coldpress.block import EPOCH_AT, HEADER_BYTES, MAGIC, PLACE_MASK, read_header
from coldpress.image import Image, read_persistent
from coldpress.scan import State
from coldpress.survey import Survey
from coldpress.testing.pages import PAGE

IMAGE, _ = base()
OBJECTS = next(  # a block of which the first record is of an object that counts
    number
    for number in range(BLOCKS)
    if IMAGE[Crafted(IMAGE).block(number) :][:4] == MAGIC
    and read_header(memoryview(IMAGE)[Crafted(IMAGE).block(number) :][:BLOCK], PAGE).records[0].kind
    == 1
)


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
