"""Images whose parts contradict each other, every checksum right: a named error, or harmless."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from once import on_one_python

sys.path.insert(0, str(Path(__file__).parent.parent))  # the package `tests`, as `-m` sees it

from coldpress import (
    ColdpressError,
    CompressorError,
    ConfigError,
    CorruptBlock,
    DeviceUnusable,
    EntryType,
    SlotEmpty,
)
from coldpress.block import EPOCH_AT, HEADER_BYTES, RECORD_BYTES
from coldpress.config import PipelineConfig
from coldpress.durable import WORD_BYTES, DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE, KIND_WORD, BlockIdentity
from coldpress.superblock import EPOCHS, USED_UP, Superblock, decode
from coldpress.testing import Medium
from coldpress.testing.pages import PAGE, same
from coldpress.tombstones import drop_tombstones
from coldpress_plugins.entry_types.filled import Filled
from coldpress_plugins.entry_types.zswap import Zswap
from tests.fuzz.images import (
    BLOCK,
    SIZE,
    SLOTS,
    START,
    Change,
    bodies,
    made_image,
    opened,
    superblocks,
    used,
    used_again,
)
from tests.made import Made, made_block

ONE = decode(memoryview(superblocks()))
AGE = (ONE.epoch << EPOCH_AT) + 100


def image(*blocks: list[Made], change: Change = lambda one: one) -> Medium:
    """One with these blocks."""
    return made_image(blocks, change)


def change_type(
    old: type[EntryType], new: type[EntryType]
) -> Callable[[PipelineConfig], PipelineConfig]:
    """The pipeline has this entry type in the place of that one."""

    def changed(config: PipelineConfig) -> PipelineConfig:
        kinds = {type(one): one for one in config.entry_types} | {old: new()}
        return attrs.evolve(config, entry_types=tuple(kinds.values()))

    return changed


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


class Swapped(Zswap):
    """Says of a folio's object that it is one slot's, and of a page's that it is two slots'."""

    def span(self, payload: int) -> int:
        return 2 if super().span(payload) == 1 else 1


@pytest.mark.parametrize("readahead", [False, True])
def test_only_what_is_of_as_many_slots_comes_back_to_ram(readahead: bool) -> None:
    """Else its memory would be released once for each of them, and later be other pages too."""
    some = [Made(16, bodies()[2], AGE, order=2), Made(40, bodies()[0], AGE)]
    used_by = change_type(Zswap, Swapped)
    with opened(image(some), change=used_by, promote="first", readahead=readahead) as pipeline:
        for slot in (16, 19, 40, 16, 40):
            assert len(pipeline.load(slot)) == PAGE
        stats = pipeline.stats()
        assert (stats.promoted_pages, stats.pool_bytes) == (0, 0)


@pytest.mark.parametrize("length", [1, PAGE, PAGE + 1, 2 * PAGE - 200])
def test_no_object_is_longer_than_its_pages(length: int) -> None:
    medium = image([Made(2, bytes(length), AGE)], [Made(4, bytes(length), AGE, order=1)])
    with opened(medium) as pipeline:
        for slot, longest in ((2, PAGE), (4, 2 * PAGE)):
            with pytest.raises(CompressorError if length <= longest else SlotEmpty):
                pipeline.load(slot)


@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("length", [PAGE - 1, PAGE, PAGE + 1])
def test_a_page_as_it_is_is_a_page_long(order: int, length: int) -> None:
    body = bytes(range(256)) * (PAGE // 256 + 1)
    some = [Made(0, body[:length], AGE, order=order, codec=0), Made(40, bodies()[0], AGE + 1)]
    mine = {slot: bytes([slot + 1]) * 64 + bytes(PAGE - 64) for slot in range(16)}
    mine |= {slot: random.Random(slot).randbytes(PAGE) for slot in (0, 1, 2, 20, 21, 22)}
    with opened(image(some), promote="first", readahead=True) as pipeline:
        pipeline.load(40)
        if (order, length) == (0, PAGE):
            assert same(pipeline.load(0), body[:PAGE])
        else:
            with pytest.raises(SlotEmpty):
                pipeline.load(0)
        for slot in (0, 20, 1, 21, 2, 22, *range(3, 16)):
            pipeline.store(slot, mine[slot])
        for turn in range(2):
            if turn:
                pipeline.sync()
            for slot, page in mine.items():
                assert same(pipeline.load(slot), page), f"slot {slot} has become another page"


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
    what = draw(st.sampled_from(["", "", "copy", "copy", "stored", *strange]))
    if what == "stored":
        return attrs.evolve(one, codec=0, body=bytes(range(256)) * (PAGE // 256))
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
        stored = used(medium, promote=promote, readahead=readahead)
    except ColdpressError:
        return
    used_again(medium, stored, promote=promote, readahead=readahead)


class Choosy(Filled):
    """Makes nothing of words that it has never returned, in three ways."""

    def fetch(self, slot: int, payload: int) -> int:
        return [payload, 7][payload == 1 << 20]

    def decode(self, token: int) -> bytes:
        if token == 1 << 21:
            raise KeyError(token)
        return super().decode(token)[: -1 if token == 1 << 22 else None]


@pytest.mark.parametrize("payload", [1 << 21, 1 << 22])
def test_a_word_of_which_its_type_makes_no_page_costs_its_slot_alone(payload: int) -> None:
    made = [
        Made(slot, word.to_bytes(8, "little"), AGE, kind=KIND_WORD)
        for slot, word in ((3, payload), (4, 1 << 20))
    ]
    with opened(image(made), change=change_type(Filled, Choosy)) as pipeline:
        with pytest.raises(CorruptBlock) as error:
            pipeline.load(3)
        assert error.value.slot == 3
        assert same(pipeline.load(4), bytes([7, *bytes(7)]) * (PAGE // 8))
        pipeline.store(3, b"ab" * (PAGE // 2))
        pipeline.sync()
        assert same(pipeline.load(3), b"ab" * (PAGE // 2))


def test_a_word_at_the_end_of_the_device_that_is_none_costs_its_slot_alone() -> None:
    """Taken for an object, it is longer than what the device has behind it."""
    size = SIZE - PAGE
    number, rest = divmod(size - START, BLOCK)
    assert not rest
    length = BLOCK - HEADER_BYTES - 4 * RECORD_BYTES - WORD_BYTES
    word = (1 << 59).to_bytes(WORD_BYTES, "little")
    some = [Made(1, bytes(length), AGE), Made(3, word, AGE, kind=KIND_WORD)]
    last = made_block(BLOCK, PAGE, BlockIdentity(ONE.uuid, ONE.epoch, 10, number=number - 1), some)
    assert last[-WORD_BYTES:] == word
    found = superblocks(lambda one: attrs.evolve(one, size=size))
    medium = Medium(bytes(found[: size - BLOCK]) + last)
    with opened(medium) as pipeline, pytest.raises(CorruptBlock, match="does not end in its block"):
        pipeline.load(3)


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_a_record_of_an_epoch_to_come_is_not_newer_than_what_is_stored_since(ahead: int) -> None:
    """It is found in a damaged block, which stays as it is while the epochs go on."""
    evil = Made(5, bodies()[0], (ONE.epoch + ahead << EPOCH_AT) + (1 << 43))
    other = Made(9, bodies()[0], AGE)  # keeps the block from being free
    damaged = bytearray(image([evil, other]).read(0, SIZE))
    for at in range(START, SIZE - BLOCK + 1, BLOCK):  # of the free ones it is taken last
        damaged[at : at + HEADER_BYTES] = b"garbage!".ljust(HEADER_BYTES)
    medium = Medium(bytes(damaged))
    with opened(medium) as pipeline:
        assert same(pipeline.load(5), bytes(PAGE))
        pipeline.store(5, b"ab" * (PAGE // 2))
    for _ in range(ahead + 2):
        with opened(medium) as pipeline:
            assert same(pipeline.load(5), b"ab" * (PAGE // 2))


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


@pytest.mark.parametrize(
    "change", [{"epoch": EPOCHS - 4}, {"generation": USED_UP - 99}, {"durable": USED_UP - 99}]
)
def test_an_opening_warns_before_it_is_the_last(
    change: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    medium = image(change=lambda one: attrs.evolve(one, **change))
    with opened(medium) as pipeline:
        pipeline.store(1, b"ab" * (PAGE // 2))
    (said,) = caplog.messages
    assert "come to an end: before long it can not be opened" in said
    if "epoch" in change:
        assert "at most 1 times" in said
        opened(medium).close()
        with pytest.raises(ConfigError, match="numbers come to an end"):
            opened(medium)


def test_an_opening_does_not_warn_of_numbers_that_go_on(caplog: pytest.LogCaptureFixture) -> None:
    opened(image()).close()
    assert not caplog.messages


@pytest.mark.parametrize(("sequence", "epoch"), [((1 << 62) - 1, ONE.epoch), (60, EPOCHS - 1)])
def test_a_block_s_numbers_that_come_to_an_end_are_told(sequence: int, epoch: int) -> None:
    made = made_block(BLOCK, PAGE, BlockIdentity(ONE.uuid, epoch, sequence), [Made(1, b"x", AGE)])
    found = superblocks()
    found[START : START + BLOCK] = made
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
