"""Somebody writes to an encrypted device, with all checksums right: no wrong page comes of it.

Each forgery is tried on a device that is not encrypted too, where it must do what it is meant to.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import forgeries
import pytest
from forgeries import Found, of_slot
from keys import key_file

from coldpress import CompressorError, CorruptBlock, Pipeline, SlotEmpty
from coldpress.block import MAGIC, RECORD_BYTES, BlockError, read_head, read_object
from coldpress.cipher import Cipher
from coldpress.config import load_config
from coldpress.layout import SEAL_BYTES
from coldpress.recordblock import RecordBlock
from coldpress.recovery import Recovery
from coldpress.roles import BlockIdentity, Victim
from coldpress.roles.packer import KIND_WORD
from coldpress.sealing import Sealing
from coldpress.table import PAYLOAD_AT, TAG_MASK
from coldpress.testing.crash import CrashDevice, Medium
from coldpress.testing.pages import PAGE, page, same

SLOTS = 24
BLOCK = 16 << 10
SIZE = 1 << 20
KINDS = ("noise", "text", "word")
BOTH = pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])

Forge = Callable[[memoryview, memoryview], None]


class Attacked:
    """A device on which each slot has two versions, the second of them not in RAM."""

    def __init__(self, encrypt: str) -> None:
        self.medium = Medium(bytes(SIZE))
        self.encrypt = encrypt
        for version in (1, 2):
            self.old = memoryview(bytes(self.image))
            with self.opened() as pipeline:
                for slot in range(SLOTS):
                    pipeline.store(slot, content(slot, version))

    @property
    def image(self) -> memoryview:
        return memoryview(self.medium._now)

    def opened(self, **writeback: Any) -> Pipeline:
        config = load_config(
            {
                "slots": SLOTS,
                "compressor": {"use": "lz4"},
                "packer": {"block": "16KiB"},
                "device": {"use": "memory", "size": SIZE},
                "writeback": {"promote": "never", **writeback},
            }
        )
        device = CrashDevice.over(self.medium, encrypt=self.encrypt)
        return Pipeline(attrs.evolve(config, device=device), synchronous=True)


@pytest.fixture
def attacked(tmp_path: Path, encrypted: bool) -> Attacked:
    return Attacked(key_file(tmp_path) if encrypted else "")


def content(slot: int, version: int) -> bytes:
    return page(KINDS[slot % 3], slot, version)


def found(pipeline: Pipeline, slot: int) -> Any:
    """The version that the slot has; or the error's class; or None: it is another page."""
    try:
        data = pipeline.load(slot)
    except (CorruptBlock, CompressorError, SlotEmpty) as error:
        return type(error)
    return next((one for one in (1, 2) if same(data, content(slot, one))), None)


def newest(image: memoryview, slot: int) -> Found:
    return of_slot(image, BLOCK, slot)[-1]


def exchange(image: memoryview, old: memoryview) -> None:
    """Slots 0 and 3 have each other's bytes, under their own names."""
    one, other = newest(image, 0), newest(image, 3)
    bodies = one.body, other.body
    one.become(one.record, bodies[1])
    other.become(other.record, bodies[0])


def replay(image: memoryview, old: memoryview) -> None:
    """Slot 0 has its older object, in the place of the newer one."""
    before = newest(old, 0)
    newest(image, 0).become(before.record, before.body)


def later(image: memoryview, old: memoryview) -> None:
    new = newest(image, 0)
    new.become(attrs.evolve(new.record, sequence=new.record.sequence + 1), new.body)


def other_codec(image: memoryview, old: memoryview) -> None:
    """What was stored as it is pretends to be compressed."""
    new = newest(image, 0)
    new.become(attrs.evolve(new.record, codec=1), new.body)


def larger(image: memoryview, old: memoryview) -> None:
    new = newest(image, 0)
    # As it is, it would not be as long as two pages: the record of none, whoever wrote it.
    new.become(attrs.evolve(new.record, order=1, codec=1), new.body)


def changed(image: memoryview, old: memoryview) -> None:
    new = newest(image, 0)
    new.become(new.record, new.body[:100] + b"forged" + new.body[106:])


def changed_unnoticed(image: memoryview, old: memoryview) -> None:
    forgeries.unnoticed(newest(image, 0))


ON_OBJECTS = {
    exchange: None,  # what comes of it without encryption: another page
    replay: 1,
    later: 2,
    other_codec: CompressorError,
    larger: CompressorError,
    changed: None,
    changed_unnoticed: None,
}


@BOTH
@pytest.mark.parametrize(
    ("forge", "plain"), ON_OBJECTS.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_a_running_pipeline_is_told(
    attacked: Attacked, encrypted: bool, forge: Forge, plain: Any
) -> None:
    with attacked.opened() as pipeline:
        forge(attacked.image, attacked.old)
        assert found(pipeline, 0) == (CorruptBlock if encrypted else plain)
        if encrypted:
            with pytest.raises(CorruptBlock, match=r"slot 0: block .*: authentication failed"):
                pipeline.load(0)
        hit = {0, 3} if forge is exchange else {0}
        assert all(found(pipeline, slot) == 2 for slot in set(range(SLOTS)) - hit)


@BOTH
@pytest.mark.parametrize(
    ("forge", "plain"), ON_OBJECTS.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_an_opening_believes_no_forged_record(
    attacked: Attacked, encrypted: bool, forge: Forge, plain: Any
) -> None:
    forge(attacked.image, attacked.old)
    with attacked.opened() as pipeline:
        # The header's tag is wrong then, but what is left of the block is found.
        assert found(pipeline, 0) == (CorruptBlock if encrypted else plain)
        hit = {0, 3} if forge is exchange else {0}
        assert all(found(pipeline, slot) == 2 for slot in set(range(SLOTS)) - hit)


@BOTH
def test_a_record_can_not_be_another_slot_s(attacked: Attacked, encrypted: bool) -> None:
    new = newest(attacked.image, 3)  # which was stored after slot 0
    new.become(attrs.evolve(new.record, slot=0), new.body)
    with attacked.opened() as pipeline:
        assert found(pipeline, 0) == (CorruptBlock if encrypted else None)
        assert found(pipeline, 3) == SlotEmpty
        assert all(found(pipeline, slot) == 2 for slot in set(range(SLOTS)) - {0, 3})


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_an_object_can_not_be_at_another_place_of_its_block(encrypted: bool) -> None:
    # Two of one slot, as when it is stored again before the block is written.
    sealing = Sealing(Cipher.ephemeral(bytes(16)) if encrypted else None)
    seal = SEAL_BYTES if encrypted else 0
    block = RecordBlock(memoryview(bytearray(BLOCK)), PAGE)
    for data in (b"older", b"newer"):
        victim = Victim(7, 0, 1, 0, len(data) + seal, 9)
        block.add(victim, Given(data))
    packed = block.seal(BlockIdentity(bytes(16), 1, 1), Given(b""))
    sealing.seal(packed)
    one, other = (placed.at for placed in packed.members)
    size = RECORD_BYTES + 5 + seal

    def opened(at: int) -> bytes:
        read_object(packed.data[at:], 7, 5 + seal, 1)
        return bytes(sealing.opened(packed.data[at:], at))

    assert [opened(one), opened(other)] == [b"older", b"newer"]
    packed.data[other : other + size] = bytes(packed.data[one : one + size])
    if encrypted:
        with pytest.raises(BlockError, match="authentication failed"):
            opened(other)
    else:
        assert opened(other) == b"older"


class Given:
    """One object's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        out[at : at + len(self.data)] = self.data

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        raise AssertionError("nothing is decompressed to be written")


@BOTH
def test_a_word_is_not_believed_either(attacked: Attacked, encrypted: bool) -> None:
    new = newest(attacked.image, 2)
    assert new.record.kind == KIND_WORD
    new.block[new.record.place + RECORD_BYTES] ^= 1
    with attacked.opened() as pipeline:
        assert found(pipeline, 2) == CorruptBlock
    new = newest(attacked.image, 2)
    new.become(new.record, new.body)  # the checksum of what it is now
    with attacked.opened() as pipeline:
        assert found(pipeline, 2) == (CorruptBlock if encrypted else None)


@BOTH
@pytest.mark.parametrize("past", [True, False], ids=["past W", "up to W"])
def test_a_tombstone_of_somebody_else_s_does_nothing(
    attacked: Attacked, encrypted: bool, past: bool
) -> None:
    image = attacked.image
    used = [one for one in forgeries.blocks(image, BLOCK) if bytes(one[:4]) == MAGIC]
    heads = [read_head(one, PAGE).identity for one in used]
    newest_head = max(heads, key=lambda one: one.sequence)
    free = next(one for one in forgeries.blocks(image, BLOCK) if not any(one))
    sequence = newest_head.sequence + 1 if past else newest_head.durable
    identity = attrs.evolve(newest_head, sequence=sequence)
    age = newest(image, 0).record.sequence + 1
    forgeries.tombstone(free, identity, 0, age)
    if encrypted:
        forgeries.as_encrypted(free)
    with attacked.opened() as pipeline:
        assert found(pipeline, 0) == (2 if encrypted else SlotEmpty)
        assert all(found(pipeline, slot) == 2 for slot in range(1, SLOTS))


@BOTH
def test_a_forged_watermark_does_nothing(
    attacked: Attacked, encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a W from nowhere what a crash cut short would be trusted. One that is past the block
    # itself is not even taken where there is no key.
    block = newest(attacked.image, 0).block
    block[40:48] = (1 << 40).to_bytes(8, "little")
    forgeries.checksummed(block)
    watermarks = []
    run = Recovery.run

    def noted(self: Recovery) -> None:
        run(self)
        watermarks.append(self.scan.durable)

    monkeypatch.setattr(Recovery, "run", noted)
    with attacked.opened() as pipeline:
        assert all(found(pipeline, slot) == 2 for slot in range(SLOTS))
    assert max(watermarks) < 1 << 40


@BOTH
def test_blocks_in_each_other_s_place(attacked: Attacked, encrypted: bool) -> None:
    def swap() -> None:
        one, other = newest(attacked.image, 0).block, newest(attacked.image, SLOTS - 3).block
        bytes_of_one = bytes(one)
        one[:], other[:] = other, bytes_of_one

    with attacked.opened() as pipeline:
        swap()
        for slot in range(SLOTS):
            assert found(pipeline, slot) in (2, CorruptBlock)
        assert found(pipeline, 0) == CorruptBlock
        swap()
    swap()
    with attacked.opened() as pipeline:  # each describes itself, wherever it is
        assert all(found(pipeline, slot) == 2 for slot in range(SLOTS))


@BOTH
def test_what_is_forged_is_not_moved_as_genuine(attacked: Attacked, encrypted: bool) -> None:
    with attacked.opened() as pipeline:
        changed_unnoticed(attacked.image, attacked.old)
        place = pipeline._entries.table.get(0) >> PAYLOAD_AT
        block = pipeline._store.space.at(0).space.start_of(
            pipeline._entries.device_type.locate(place)[0]
        )
        with pipeline._gate.lock:
            moves = pipeline._cleaner._mover.read(block, unlocked=False)
            assert any(move.victim.slot == 0 for move in moves) is not encrypted
            assert len(moves) > 2
            assert pipeline._cleaner._write(moves, unlocked=False) >= 0
        others = {move.victim.slot for move in moves} - {0}
        assert all(found(pipeline, slot) == 2 for slot in others)
        assert found(pipeline, 0) == (CorruptBlock if encrypted else None)


@BOTH
def test_what_is_forged_is_not_brought_along(attacked: Attacked, encrypted: bool) -> None:
    with attacked.opened(promote="first", readahead=True) as pipeline:
        changed_unnoticed(attacked.image, attacked.old)
        assert found(pipeline, 3) == 2
        assert pipeline.stats().promoted_pages > 2
        in_ram = pipeline._entries.table.get(0) & TAG_MASK != pipeline._entries.device_tag
        assert in_ram is not encrypted
        assert found(pipeline, 0) == (CorruptBlock if encrypted else None)


@pytest.mark.parametrize("encrypted", [True])
def test_bits_that_turned_are_told_from_forgery(attacked: Attacked) -> None:
    with attacked.opened() as pipeline:
        new = newest(attacked.image, 0)
        new.block[new.record.place + 100] ^= 1
        with pytest.raises(CorruptBlock, match="checksum of the object is wrong"):
            pipeline.load(0)
