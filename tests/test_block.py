"""The bytes of a block, read back by its own description."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.block import (
    HEADER_BYTES,
    MAGIC,
    RECORD_BYTES,
    BlockError,
    head_bytes,
    read_header,
    read_object,
)
from coldpress.recordblock import RecordBlock
from coldpress.roles import BlockIdentity, PackedBlock, Victim

PAGE, BLOCK = 4096, 16384
IDENTITY = BlockIdentity(uuid=bytes(range(16)), epoch=3, sequence=0x1234567, durable=5)
objects = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=3000), st.integers(0, 255)),
    min_size=1,
    max_size=12,
)
layouts = st.sampled_from([{}, {"align": PAGE}, {"cell": 3072}])


class Given:
    """The objects of a list, by their sequence."""

    def __init__(self, found: list[tuple[int, bytes, int]]) -> None:
        self.found = found

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        out[at : at + victim.length] = self.found[victim.sequence][1]

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        raise AssertionError("nothing is decompressed to be written")


def packed(found: list[tuple[int, bytes, int]], **layout: int) -> PackedBlock:
    """A block of as many of these objects as there is room for."""
    block = RecordBlock(memoryview(bytearray(b"\xee" * BLOCK)), PAGE, **layout)
    for number, (slot, data, codec) in enumerate(found):
        if not block.has_room(len(data)):
            break
        block.add(Victim(slot, 0, codec, 0, len(data), number), Given(found))
    return block.seal(IDENTITY, Given(found))


@given(found=objects, layout=layouts)
def test_header_records_and_objects_agree(
    found: list[tuple[int, bytes, int]], layout: dict[str, int]
) -> None:
    block = packed(found, **layout)
    header = read_header(block.data, PAGE)
    count = len(block.members)
    assert header.identity == IDENTITY
    assert header.pages * PAGE == len(block.data) <= BLOCK
    assert header.payload == sum(len(data) for _, data, _ in found[:count])
    assert len(header.records) == count
    end = HEADER_BYTES + RECORD_BYTES * count
    for record, (slot, data, codec), placed in zip(
        header.records, found[:count], block.members, strict=True
    ):
        at = placed.at
        assert (record.slot, record.length, record.codec) == (slot, len(data), codec)
        assert (record.place, record.length) == (at, placed.length)
        assert record.sequence == placed.victim.sequence
        inline = read_object(block.data[at:], slot, len(data), IDENTITY.sequence)
        assert (inline.slot, inline.crc, inline.sequence) == (slot, record.crc, record.sequence)
        assert at % layout.get("align", 1) == 0
        assert not any(block.data[end:at])  # no stale memory reaches the device
        end = at + RECORD_BYTES + len(data)
        assert bytes(block.data[at + RECORD_BYTES : end]) == data
    assert not any(block.data[end:])
    assert len(block.data) - end < PAGE
    if count < len(found):  # the next one really had no room
        need = RECORD_BYTES + len(found[count][1])
        assert end + RECORD_BYTES + need > BLOCK - layout.get("align", 0) - layout.get("cell", 0)


def test_the_checksum_is_the_crc_of_zlib() -> None:
    block = packed([(7, b"seven" * 9, 1)])
    data = bytes(block.data)
    count = HEADER_BYTES + RECORD_BYTES
    wanted = zlib.crc32(data[HEADER_BYTES:count], zlib.crc32(data[: HEADER_BYTES - 4]))
    assert int.from_bytes(data[HEADER_BYTES - 4 : HEADER_BYTES], "little") == wanted


def test_every_flipped_bit_is_noticed() -> None:
    found = [(1, b"first object", 1), (2, b"the second one", 2)]
    clean = packed(found)
    data = bytearray(clean.data)
    used = clean.members[-1].at + RECORD_BYTES + len(found[-1][1])
    table = HEADER_BYTES + 2 * RECORD_BYTES
    for bit in range(used * 8):
        data[bit // 8] ^= 1 << bit % 8
        view = memoryview(data)
        complaints = 0
        try:
            read_header(view, PAGE)
        except BlockError:
            complaints += 1
        for (slot, body, _), placed in zip(found, clean.members, strict=True):
            try:
                read_object(view[placed.at :], slot, len(body), IDENTITY.sequence)
            except BlockError:
                complaints += 1
        # Each byte is covered by the header's checksum or by one object's, and by no other.
        assert complaints == 1, (bit // 8, bit // 8 < table)
        data[bit // 8] ^= 1 << bit % 8


def test_an_object_of_another_slot_or_time_is_refused() -> None:
    block = packed([(7, b"seven" * 9, 1)])
    inside = block.data[block.members[0].at :]
    with pytest.raises(BlockError, match="belongs to slot 7"):
        read_object(inside, 8, 45, IDENTITY.sequence)
    with pytest.raises(BlockError, match="an earlier block"):
        read_object(inside, 7, 45, IDENTITY.sequence + 1)
    with pytest.raises(BlockError, match="damaged"):
        read_object(inside, 7, 44, IDENTITY.sequence)


@given(st.binary(max_size=200))
def test_hostile_headers_are_named(junk: bytes) -> None:
    for data in (junk, b"CPBK" + junk, b"CPBK\x01\x18\0\0" + junk):
        with pytest.raises(BlockError):
            read_header(memoryview(data), PAGE)


@pytest.mark.parametrize("length", [0, 4, 59, HEADER_BYTES - 1])
def test_less_than_a_header_begins_no_block(length: int) -> None:
    data = MAGIC + bytes(HEADER_BYTES)
    assert head_bytes(memoryview(data)[:length]) == 0
    assert head_bytes(memoryview(data)) == HEADER_BYTES
