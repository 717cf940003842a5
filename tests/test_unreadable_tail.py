"""Blocks past W that can not be read in part: an I/O error is no write that was cut short."""

from __future__ import annotations

from pathlib import Path

import pytest
from contents import holds
from images import (
    BLOCK,
    Fault,
    Model,
    blocks,
    filled,
    flip,
    newest_with,
    opened,
    unreadable,
)
from verdicts import Capture, fsck, kinds

import coldpress
from coldpress.block import RECORD_BYTES, Header
from coldpress.roles.packer import KIND_OBJECT, KIND_WORD
from coldpress.testing.pages import PAGE, page, same

TAIL = range(9, 16)
"""Slots with their newest record in the block past W, which has four pages."""


def killed_after_sync(path: Path, model: Model) -> tuple[int, Header]:
    """Store this and sync, and leave what a crash leaves then; the block past W."""
    with opened(path) as pipeline:
        for slot, data in model.items():
            pipeline.store(slot, data)
        pipeline.sync()
        image = path.read_bytes()
    path.write_bytes(image)
    block, _ = newest_with(path, max(model))
    return block, blocks(path)[block]


@pytest.fixture
def newer(path: Path) -> Model:
    """What is in the block past W; older versions are there, too."""
    filled(path, 1)
    return {slot: page("text", slot, 2) for slot in TAIL}


def reaching(header: Header, bad: range) -> set[int]:
    """The slots whose records or objects are there in part."""
    return {
        one.slot
        for one in header.records
        if one.place < bad.stop and bad.start < one.place + RECORD_BYTES + one.length
    }


def without(pipeline: coldpress.Pipeline, model: Model, lost: set[int]) -> None:
    """What is lost can not be loaded, and all else is there."""
    for slot in lost:
        with pytest.raises(coldpress.DeviceError, match=f"slot {slot}: block"):
            pipeline.load(slot)
    holds(pipeline, model, model.keys() - lost)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_acknowledged_block_loses_only_what_can_not_be_read_and_that_comes_back(
    path: Path, newer: Model, number: int
) -> None:
    block, header = killed_after_sync(path, newer)
    assert header.pages == 4
    before = path.read_bytes()[block : block + BLOCK]
    bad = range(number * PAGE, (number + 1) * PAGE)
    lost = reaching(header, bad)
    assert 0 < len(lost) < len(newer)
    fault = Fault([range(block + bad.start, block + bad.stop)])
    with unreadable(fault), opened(path) as pipeline:
        without(pipeline, newer, lost)
        fault.ranges.clear()  # readable again, and nobody has written there
        holds(pipeline, newer, newer)
    assert same(path.read_bytes()[block : block + BLOCK], before)
    with opened(path) as pipeline:
        holds(pipeline, newer, newer)


def test_a_block_of_which_only_the_records_can_be_read_counts(path: Path, newer: Model) -> None:
    block, header = killed_after_sync(path, newer)
    first = reaching(header, range(PAGE))
    bad = range(block + PAGE, block + BLOCK)
    with unreadable(Fault([bad])), opened(path) as pipeline:
        without(pipeline, newer, reaching(header, range(PAGE, BLOCK)))
    assert first
    with opened(path) as pipeline:
        holds(pipeline, newer, newer)


def test_words_that_can_not_be_read_are_no_older_ones(path: Path) -> None:
    older = {slot: page("word", slot, 1) for slot in range(128)}
    newer = {slot: page("word", slot, 2) for slot in range(128)}
    with opened(path, slots=128) as pipeline:
        for slot, data in older.items():
            pipeline.store(slot, data)
    with opened(path, slots=128) as pipeline:
        for slot, data in newer.items():
            pipeline.store(slot, data)
        pipeline.sync()
        image = path.read_bytes()
    path.write_bytes(image)
    block, _ = newest_with(path, 127)
    header = blocks(path)[block]
    assert {one.kind for one in header.records} == {KIND_WORD}
    lost = reaching(header, range(PAGE, BLOCK))
    assert 0 < len(lost) < 128
    with (
        unreadable(Fault([range(block + PAGE, block + BLOCK)])),
        opened(path, slots=128) as pipeline,
    ):
        without(pipeline, newer, lost)
    with opened(path, slots=128) as pipeline:
        holds(pipeline, newer, newer)


def test_what_can_be_read_and_is_wrong_is_a_write_that_was_cut_short(
    path: Path, newer: Model
) -> None:
    older = {slot: page("text", slot, 1) for slot in TAIL}
    block, header = killed_after_sync(path, newer)
    bad = range(2 * PAGE, 3 * PAGE)
    wrong = next(
        one
        for one in header.records
        if one.kind == KIND_OBJECT and one.place + RECORD_BYTES + one.length <= bad.start
    )
    flip(path, block + wrong.place + RECORD_BYTES + 2)
    with (
        unreadable(Fault([range(block + bad.start, block + bad.stop)])),
        opened(path) as pipeline,
    ):
        holds(pipeline, older, older)
    assert path.read_bytes()[block : block + BLOCK].count(0) == BLOCK
    with opened(path) as pipeline:
        holds(pipeline, older, older)


def test_fsck_tells_of_it_and_repairs_it(path: Path, newer: Model, capsys: Capture) -> None:
    block, header = killed_after_sync(path, newer)
    bad = range(PAGE, 2 * PAGE)
    lost = reaching(header, bad)

    before = path.read_bytes()
    with unreadable(Fault([range(block + bad.start, block + bad.stop)])):
        status, result = fsck(path, capsys)
        assert (status, kinds(result)) == (1, ["object", "unreadable"])
        assert result["lost_slots"] == sorted(lost)
        assert result["unknown_blocks"] == []
        assert same(path.read_bytes(), before)
        status, result = fsck(path, capsys, "--repair")
        assert (status, result["lost_slots"]) == (1, sorted(lost))
        assert fsck(path, capsys)[1]["findings"] == []
    with opened(path) as pipeline:
        holds(pipeline, {slot: newer[slot] for slot in newer.keys() - lost}, newer)
