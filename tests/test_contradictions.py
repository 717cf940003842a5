"""Images whose parts contradict each other, every checksum right: a named error, or harmless."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st
from once import on_one_python

sys.path.insert(0, str(Path(__file__).parent.parent))  # the package `tests`, as `-m` sees it

from coldpress import ColdpressError, ConfigError, CorruptBlock, DeviceUnusable
from coldpress.block import EPOCH_AT
from coldpress.config import load_config
from coldpress.durable import DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.pipeline import Pipeline
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE, KIND_WORD, BlockIdentity
from coldpress.superblock import EPOCHS, Superblock, decode
from coldpress.testing import CrashDevice, Medium
from coldpress.testing.pages import PAGE, same
from coldpress.testing.shapes import described
from coldpress.tombstones import drop_tombstones
from tests.fuzz.targets import template
from tests.made import Made, made_block

SLOTS, BLOCK, SIZE = 64, 2 * PAGE, 25 * PAGE

Change = Callable[[Superblock], Superblock]


def superblocks(change: Change = lambda one: one) -> bytearray:
    """An image without blocks, both superblocks changed."""
    image = bytearray(SIZE)
    for at in (0, PAGE):
        one = decode(memoryview(template())[at : at + PAGE])
        data = change(attrs.evolve(one, durable=50)).encode()
        image[at : at + len(data)] = data
    return image


ONE = decode(memoryview(superblocks()))
AGE = (ONE.epoch << EPOCH_AT) + 100


def image(*blocks: list[Made], change: Change = lambda one: one) -> Medium:
    """One with these blocks."""
    found = superblocks(change)
    for number, some in enumerate(blocks):
        identity = BlockIdentity(ONE.uuid, ONE.epoch, 10 + number, 0, number)
        at = 2 * PAGE + number * BLOCK
        found[at : at + BLOCK] = made_block(BLOCK, PAGE, identity, some)
    return Medium(bytes(found))


def opened(medium: Medium, *, format: bool = False, **writeback: Any) -> Pipeline:  # noqa: A002
    shape = described(
        {
            "compressor": {"use": "lz4"},
            "allocator": {"use": "zbud", "limit": "256KiB"},
            "device": {"use": "memory", "size": SIZE},
            "packer": {"block": BLOCK},
        },
        slots=SLOTS,
        writeback=writeback,
    )
    device = CrashDevice.over(medium)
    device.format = format
    return Pipeline(attrs.evolve(load_config(shape), device=device), synchronous=True)


@cache
def bodies() -> list[bytes]:
    """Objects of 1 to 16 pages, and what is none."""
    objects = [lz4.block.compress(bytes([n]) * (PAGE << n), store_size=False) for n in range(5)]
    return [*objects, b"", b"junk", bytes(PAGE)]


def use(medium: Medium, **writeback: Any) -> None:
    """Load all there is, some of it again; then what is stored is there, whatever was before."""
    with opened(medium, **writeback) as pipeline:
        for slot in (*range(SLOTS), *range(SLOTS)):
            with contextlib.suppress(ColdpressError):
                assert len(pipeline.load(slot)) == PAGE
        pipeline.invalidate(8)
        stored = {slot: bytes([slot, 1]) * (PAGE // 2) for slot in range(0, SLOTS, 5)}
        stored |= {slot: bytes([slot]) * 64 + bytes(PAGE - 64) for slot in (1, 2, 3, 4, 63)}
        for slot, page in stored.items():
            pipeline.store(slot, page)
        for turn in range(2):
            if turn:
                pipeline.sync()
            for slot, page in stored.items():
                assert same(pipeline.load(slot), page)


@pytest.mark.parametrize("readahead", [False, True])
@pytest.mark.parametrize(("order", "copied"), [(4, 0), (2, 1), (0, 2), (1, 4)])
def test_both_records_of_an_object_are_of_the_same_slots(
    order: int, copied: int, readahead: bool
) -> None:
    """Else a promoted object would be freed while slots still have its handle."""
    body = bodies()[copied]
    copy = Made(0, body, AGE, order=copied)
    some = [Made(0, body, AGE, order=order, copy=copy), Made(40, bodies()[0], AGE + 1)]
    medium = image(some)
    with opened(medium, promote="first", readahead=readahead) as pipeline:
        pipeline.load(40)
        if copied > order > 0:  # slots that hold something else by now would look the same
            pipeline.load(0)
        else:
            with pytest.raises(CorruptBlock, match="other slots"):
                pipeline.load(0)
        for slot in range(16):
            pipeline.store(slot, bytes([slot + 1]) * 64 + bytes(PAGE - 64))
        pipeline.sync()
        for slot in range(16):
            assert pipeline.load(slot)[0] == slot + 1


@st.composite
def records(draw: st.DrawFn) -> Made:
    """Most have one thing that is strange, at most: else none would come further than the first."""
    order = draw(st.integers(0, 4))
    kind = KIND_OBJECT if order else draw(st.integers(KIND_OBJECT, KIND_TOMBSTONE))
    copied = draw(st.integers(0, 4))
    body = {
        KIND_OBJECT: bodies()[copied],
        KIND_WORD: draw(st.integers(0, (1 << 59) - 1)).to_bytes(8, "little"),
        KIND_TOMBSTONE: b"",
    }[kind]
    slot, age = draw(st.integers(0, SLOTS - 1)), AGE + draw(st.integers(0, 9))
    one = Made(slot & -(1 << order), body, age, order=order, kind=kind)
    strange = {
        "slot": st.integers(0, (1 << 32) - 1),
        "sequence": st.integers(0, (1 << 64) - 1),
        "order": st.integers(0, 15),
        "codec": st.integers(0, 255),
        "kind": st.integers(0, 15),
        "body": st.sampled_from(bodies()),
    }
    what = draw(st.sampled_from(["", "", "copy", "copy", *strange]))
    if what == "copy":
        first = slot & -(1 << copied)
        return attrs.evolve(one, copy=attrs.evolve(one, slot=first, order=copied))
    return attrs.evolve(one, **{what: draw(strange[what])}) if what else one


@on_one_python
@given(
    blocks=st.lists(st.lists(records(), max_size=4), max_size=4),
    promote=st.sampled_from(["first", "second"]),
    readahead=st.booleans(),
)
def test_records_by_chance_harm_nothing_that_is_stored_later(
    blocks: list[list[Made]], promote: str, readahead: bool
) -> None:
    medium = image(*blocks)
    try:
        use(medium, promote=promote, readahead=readahead)
    except ColdpressError:
        return
    use(medium, promote=promote, readahead=readahead)


@pytest.mark.parametrize("kind", [KIND_OBJECT, KIND_WORD, KIND_TOMBSTONE])
def test_a_block_of_slots_that_are_none_keeps_the_tombstones(kind: int) -> None:
    body = b"" if kind == KIND_TOMBSTONE else b"8 bytes."
    strange = [Made(SLOTS + 9, body, AGE, kind=kind)]
    with opened(image([Made(5, b"", AGE, kind=KIND_TOMBSTONE)], strange)) as pipeline:
        store, entries = pipeline._store, pipeline._entries
        assert isinstance(store, DurableStore)
        assert isinstance(entries, DurableEntries)
        assert drop_tombstones(store, entries, PAGE) == 0


@pytest.mark.parametrize(
    ("what", "last"), [("generation", 1 << 62), ("durable", 1 << 62), ("epoch", EPOCHS)]
)
def test_numbers_that_come_to_an_end_are_told_and_nothing_is_lost(what: str, last: int) -> None:
    def change(one: Superblock) -> Superblock:
        return attrs.evolve(one, **{what: last - 1})

    medium = image(change=change)
    before = medium.read(0, SIZE)
    for _ in range(2):
        with pytest.raises(ConfigError, match="numbers come to an end; format = true"):
            opened(medium)
    assert same(medium.read(0, SIZE), before)


@pytest.mark.parametrize(("sequence", "epoch"), [((1 << 62) - 1, ONE.epoch), (60, EPOCHS - 1)])
def test_a_block_s_numbers_that_come_to_an_end_are_told(sequence: int, epoch: int) -> None:
    made = made_block(BLOCK, PAGE, BlockIdentity(ONE.uuid, epoch, sequence), [Made(1, b"x", AGE)])
    found = superblocks()
    found[2 * PAGE : 2 * PAGE + BLOCK] = made
    medium = Medium(bytes(found))
    with pytest.raises(DeviceUnusable, match="numbers come to an end"):
        opened(medium)
    assert same(medium.read(0, SIZE), bytes(found))


@pytest.mark.parametrize("options", ['{"a": [[1]]}', '{"a": {}}', "[]", "[" * 900 + "]" * 900])
def test_options_are_plain(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", lambda *args, **kwargs: options)
        found = superblocks()
    with pytest.raises(ValueError, match="of no kind that is known"):
        decode(memoryview(found))


def test_an_image_that_was_formatted_for_good_can_be_formatted_again() -> None:
    medium = image(change=lambda one: attrs.evolve(one, epoch=EPOCHS - 1, generation=(1 << 62) - 1))
    with opened(medium, format=True) as pipeline:
        pipeline.store(1, b"ab" * (PAGE // 2))
    with opened(medium) as pipeline:
        assert same(pipeline.load(1), b"ab" * (PAGE // 2))
