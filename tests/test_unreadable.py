"""Opening an image of which something is damaged or can not be read: never an older version."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from contents import load
from images import (
    BLOCK,
    SLOTS,
    Fault,
    Model,
    blocks,
    filled,
    flip,
    holds,
    newest_with,
    opened,
    overwrite,
    shape,
    unreadable,
)

import coldpress
from coldpress import checkpoint
from coldpress.block import HEADER_BYTES, RECORD_BYTES
from coldpress.durable import DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.image import Image, read_persistent
from coldpress.rereading import read_again
from coldpress.roles.packer import KIND_TOMBSTONE, KIND_WORD
from coldpress.scan import State
from coldpress.superblock import COMPRESSOR, decode
from coldpress.survey import Survey
from coldpress.testing.pages import PAGE, page, same


def test_a_read_that_fails_twice_is_tried_again() -> None:
    class Image:
        def __init__(self, fails: int) -> None:
            self.fails = fails

        def read_into(self, offset: int, buffer: memoryview) -> None:
            if self.fails:
                self.fails -= 1
                raise coldpress.DeviceError("EIO")
            buffer[:] = bytes([offset] * len(buffer))

    buffer = bytearray(4)
    read_again(Image(2), 7, memoryview(buffer))
    assert buffer == bytes([7] * 4)
    with pytest.raises(coldpress.DeviceError, match="EIO"):
        read_again(Image(3), 7, memoryview(buffer))


def test_of_objects_behind_a_readable_header_only_those_are_lost_that_can_not_be_read(
    path: Path, model: Model
) -> None:
    block, _ = newest_with(path, 3)
    bad = range(block + PAGE, block + BLOCK)
    lost = {
        slot: coldpress.DeviceError
        for record in blocks(path)[block].records
        for slot in range(record.slot, record.slot + (1 << record.order))
        if newest_with(path, slot)[0] == block
        and block + record.place + RECORD_BYTES + record.length > bad.start
    }
    assert len(lost) > 3
    with unreadable(Fault([bad])):
        holds(path, model, but=lost)
    holds(path, model)


def test_of_words_only_those_are_lost_that_can_not_be_read(path: Path) -> None:
    words = {slot: page("word", slot, 1) for slot in range(128)}
    with opened(path, slots=128) as pipeline:
        for slot, data in words.items():
            pipeline.store(slot, data)
    ((block, header),) = blocks(path).items()
    assert header.pages > 1
    first = [one.slot for one in header.records if one.place + one.length + RECORD_BYTES <= PAGE]
    assert 0 < len(first) < 128
    with unreadable(Fault([range(block + PAGE, block + BLOCK)])), opened(path, slots=128) as one:
        for slot in range(128):
            if slot in first:
                assert same(one.load(slot), words[slot])
            else:
                with pytest.raises(coldpress.DeviceError):
                    one.load(slot)


def test_a_block_of_which_nothing_is_known_is_refused_by_name(path: Path, model: Model) -> None:
    block, _ = newest_with(path, 7)
    before = path.read_bytes()
    number = (block - 2 * decode(memoryview(before)).area) // BLOCK
    with (
        unreadable(Fault([range(block, block + PAGE)])),
        pytest.raises(coldpress.DeviceError) as caught,
    ):
        coldpress.open(shape(path))
    text = str(caught.value)
    assert text.startswith(f"block {number}, device offset {block}: it can not be read")
    assert "EIO" in text
    assert "`coldpress fsck --repair`" in text
    assert path.read_bytes() == before
    holds(path, model)


def test_either_superblock_may_be_unreadable_but_not_both(path: Path, model: Model) -> None:
    area = decode(memoryview(path.read_bytes())).area
    for at in (0, area):
        with unreadable(Fault([range(at, at + 1)])):
            holds(path, model)
    with (
        unreadable(Fault([range(2 * area)])),
        pytest.raises(coldpress.ConfigError, match="both superblocks are damaged"),
    ):
        coldpress.open(shape(path))


def test_a_lost_superblock_makes_nothing_old(path: Path) -> None:
    filled(path, 1)
    pipeline = opened(path)
    model = {slot: page("text", slot, 2) for slot in range(40)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    pipeline.sync()
    assert isinstance(pipeline._store, DurableStore)
    pipeline._store._reopened = False  # as after a crash: no superblock is written in the end
    pipeline._close()
    image = memoryview(path.read_bytes())
    area = decode(image).area
    epochs = {decode(image[at:]).epoch: at for at in (0, area)}
    assert len(epochs) == 2
    flip(path, epochs[max(epochs)] + 20)  # the only one that tells of the latest opening
    model |= {slot: page("text", slot, 3) for slot in range(20, 40)}
    with opened(path) as pipeline:
        for slot in range(20, 40):
            pipeline.store(slot, model[slot])
    holds(path, model)


def test_an_id_is_given_once_whichever_superblock_is_lost(path: Path) -> None:
    filled(path)
    with opened(path) as pipeline:
        pipeline.reconfigure({"compressor": {"use": "brotli"}})
        pipeline.store(1, page("text", 1, 1))
        pipeline.sync()
        image = memoryview(path.read_bytes())
        for at in (0, decode(image).area):
            names = [one.name for one in decode(image[at:]).ids if one.kind == COMPRESSOR]
            assert names == ["lz4", "brotli"]


def test_one_copy_of_a_record_is_enough(path: Path, model: Model) -> None:
    """The header is damaged, and half the records in the table, and the copies of the others."""
    for at, header in blocks(path).items():
        flip(path, at + 60)
        for number, record in enumerate(header.records):
            if number % 2:
                flip(path, at + HEADER_BYTES + RECORD_BYTES * number + 9)
            else:
                flip(path, at + record.place + 9)
    lost = 0
    with opened(path) as pipeline:
        for slot in range(SLOTS):
            try:
                found = load(pipeline, slot)
            except coldpress.CorruptBlock:
                lost += 1
            else:
                assert found == model.get(slot) or same(found, model[slot])
    assert 10 < lost < 30  # those with a damaged copy, which a load looks at


def test_no_header_is_needed_where_there_are_tombstones(path: Path, model: Model) -> None:
    """They have no object, so in the table they look like what stands in front of one."""
    with opened(path) as pipeline:
        for slot in range(20, 30):
            pipeline.store(slot, page("text", slot, 3))
            pipeline.invalidate(slot)
            del model[slot]
        pipeline.sync()
        for slot in range(10):
            pipeline.store(slot, page("word", slot, 3))
            model[slot] = page("word", slot, 3)
        for slot in range(10, 13):
            pipeline.invalidate(slot)
            del model[slot]
    kinds = [{one.kind for one in header.records} for header in blocks(path).values()]
    assert {KIND_TOMBSTONE} in kinds
    assert {KIND_TOMBSTONE, KIND_WORD} in kinds
    for at in blocks(path):
        flip(path, at + 57)
    assert salvaged(path) == {State.SALVAGED: len(kinds)}
    holds(path, model)


def salvaged(path: Path) -> Counter[State]:
    with Image(str(path)) as image:
        survey = Survey(image, read_persistent(image))
        return Counter(
            State(one) for one in survey.scan.states if one not in (State.UNUSED, State.GOOD)
        )


def test_tombstones_are_kept_while_what_may_be_older_can_not_be_read(
    path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The opening could read the block; then it can not, and a `sync` looks for tombstones."""
    monkeypatch.setattr(checkpoint, "are_many", lambda store, entries: True)
    block, _ = newest_with(path, 7)
    with opened(path) as pipeline:
        assert isinstance(pipeline._entries, DurableEntries)
        pipeline.invalidate(7)
        with unreadable(Fault([range(block, block + PAGE)])):
            pipeline.sync()
            assert pipeline._entries.tombstones == 2
    del model[7]
    holds(path, model)


def test_records_whose_copies_agree_hide_older_ones_though_their_objects_are_damaged(
    path: Path, model: Model
) -> None:
    lost: dict[int, type[Exception]] = {}
    for at, header in blocks(path).items():
        flip(path, at + 60)
        for record in header.records:
            if record.length > 8:
                flip(path, at + record.place + RECORD_BYTES + 8)
    for slot in model:
        if slot not in (1, 2):
            lost[slot] = coldpress.CorruptBlock
    holds(path, model, but=lost)


def test_what_may_be_missing_in_a_damaged_block_is_warned_of(
    path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    opened(path).close()
    assert not caplog.records
    block, inline = newest_with(path, 7)
    overwrite(path, block, bytes(range(1, 129)) * (-(-(inline + RECORD_BYTES - block) // 128)))
    opened(path).close()
    (record,) = caplog.records
    assert record.name == "coldpress"
    number = (block - 2 * decode(memoryview(path.read_bytes())).area) // BLOCK
    said = f"damaged blocks of the file device, 1 in all: {number}. "
    assert record.getMessage().startswith(said)
