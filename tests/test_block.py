"""The bytes of a block, read back by its own description."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.block import (
    HEADER_BYTES,
    RECORD_BYTES,
    BlockError,
    BlockIdentity,
    build,
    read_header,
    read_object,
    room_for,
)
from coldpress.roles import PackedBlock, Victim

PAGE, BLOCK = 4096, 16384
IDENTITY = BlockIdentity(uuid=bytes(range(16)), epoch=3, sequence=0x1234567, durable=5)
objects = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=3000), st.integers(0, 255)),
    min_size=1,
    max_size=12,
).filter(lambda found: room_for(BLOCK, len(found), sum(len(data) for _, data, _ in found)))


def packed(found: list[tuple[int, bytes, int]], buffer: bytearray | None = None) -> PackedBlock:
    victims = [
        Victim(slot, 0, codec, 0, len(data), 1000 + number)
        for number, (slot, data, codec) in enumerate(found)
    ]

    def copy_into(victim: Victim, out: memoryview, at: int) -> None:
        data = found[victim.sequence - 1000][1]
        out[at : at + len(data)] = data

    stale = buffer or bytearray(b"\xee" * BLOCK)
    return build(memoryview(stale), PAGE, IDENTITY, victims, copy_into)


@given(objects)
def test_header_records_and_objects_agree(found: list[tuple[int, bytes, int]]) -> None:
    block = packed(found)
    header = read_header(block.data, PAGE)
    assert header.identity == IDENTITY
    assert header.pages * PAGE == len(block.data)
    assert header.payload == sum(len(data) for _, data, _ in found)
    end = 0
    for record, (slot, data, codec), (victim, at) in zip(
        header.records, found, block.members, strict=True
    ):
        assert (record.slot, record.length, record.codec) == (slot, len(data), codec)
        assert record.place == at
        assert record.sequence == victim.sequence
        inline = read_object(block.data[at:], slot, len(data), IDENTITY.sequence)
        assert (inline.slot, inline.crc, inline.sequence) == (slot, record.crc, record.sequence)
        end = at + RECORD_BYTES + len(data)
        assert bytes(block.data[at + RECORD_BYTES : end]) == data
    assert not any(block.data[end:])  # no stale memory reaches the device
    assert len(block.data) - end < PAGE


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
    used = clean.members[-1][1] + RECORD_BYTES + len(found[-1][1])
    table = HEADER_BYTES + 2 * RECORD_BYTES
    for bit in range(used * 8):
        data[bit // 8] ^= 1 << bit % 8
        view = memoryview(data)
        complaints = 0
        try:
            read_header(view, PAGE)
        except BlockError:
            complaints += 1
        for (slot, body, _), (_, at) in zip(found, clean.members, strict=True):
            try:
                read_object(view[at:], slot, len(body), IDENTITY.sequence)
            except BlockError:
                complaints += 1
        # Each byte is covered by the header's checksum or by one object's, and by no other.
        assert complaints == 1, (bit // 8, bit // 8 < table)
        data[bit // 8] ^= 1 << bit % 8


def test_an_object_of_another_slot_or_time_is_refused() -> None:
    block = packed([(7, b"seven" * 9, 1)])
    (_, at) = block.members[0]
    inside = block.data[at:]
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
