"""Changes of an image by somebody who has no key but knows the format, checksums and all."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import attrs

from coldpress.block import (
    HEADER_BYTES,
    MAGIC,
    PLACE_MASK,
    RECORD_BYTES,
    Record,
    mark_encrypted,
    read_auth,
    read_header,
    read_record,
    shape_of,
    write_auth,
    write_header,
    write_object,
)
from coldpress.roles import BlockIdentity
from coldpress.roles.packer import KIND_TOMBSTONE
from coldpress.superblock import decode
from coldpress.testing.pages import PAGE

_POLYNOMIAL = 0x104C11DB7  # of CRC-32, the highest power first


@attrs.frozen(eq=False)
class Found:
    """A record of an image: the block that it is in, its number there, and itself."""

    block: memoryview
    number: int
    record: Record

    @property
    def stamp(self) -> int:
        return read_record(self.block, self.record.place).place

    @property
    def body(self) -> bytes:
        start = self.record.place + RECORD_BYTES
        return bytes(self.block[start : start + self.record.length])

    def become(self, record: Record, body: bytes) -> None:
        """Other bytes, and both copies of another record, with checksums that are right."""
        at = self.record.place
        self.block[at + RECORD_BYTES :][: len(body)] = body
        table = HEADER_BYTES + self.number * RECORD_BYTES
        shape = shape_of(record.length, record.codec, record.order, record.kind)
        write_object(
            self.block, table, at, record.slot, shape, record.sequence, self.stamp & PLACE_MASK
        )
        checksummed(self.block)


def unnoticed(one: Found) -> None:
    """Other bytes of the same checksum, so that not even the record has to be another."""
    start = one.record.place + RECORD_BYTES + 16
    before = crc32(one.body)
    for number in range(33):  # what is added is a multiple of the checksum's polynomial
        if _POLYNOMIAL >> 32 - number & 1:
            one.block[start + number // 8] ^= 1 << number % 8
    assert crc32(one.body) == before


def checksummed(block: memoryview) -> None:
    """Its checksum is right again; the tag is what it was."""
    write_auth(block, len(read_records(block)), *read_auth(block))


def read_records(block: memoryview) -> list[Record]:
    (count,) = block[48:52].cast("I")
    return [read_record(block, HEADER_BYTES + n * RECORD_BYTES) for n in range(count)]


def blocks(image: memoryview, block: int) -> Iterator[memoryview]:
    """All that there may be, also those that were never used."""
    start = 2 * decode(image).area
    for at in range(start, len(image) - block + 1, block):
        yield image[at : at + block]


def records(image: memoryview, block: int) -> list[Found]:
    """Those of all blocks that have any."""
    return [
        Found(one, number, record)
        for one in blocks(image, block)
        if bytes(one[:4]) == MAGIC
        for number, record in enumerate(read_header(one, PAGE).records)
    ]


def of_slot(image: memoryview, block: int, slot: int) -> list[Found]:
    """Those of a slot, the oldest first."""
    found = [one for one in records(image, block) if one.record.slot == slot]
    return sorted(found, key=lambda one: one.record.sequence)


def tombstone(block: memoryview, identity: BlockIdentity, slot: int, sequence: int) -> None:
    """A block that says that the slot is empty, as if it were encrypted if its device is."""
    block[:] = bytes(len(block))
    at = HEADER_BYTES + RECORD_BYTES
    shape = shape_of(0, 0, 0, KIND_TOMBSTONE)
    write_object(block, HEADER_BYTES, at, slot, shape, sequence, identity.sequence)
    write_header(block, identity, 1, 1, 48)


def as_encrypted(block: memoryview) -> None:
    """The flag of an encrypted block, and something for a tag."""
    mark_encrypted(block)
    write_auth(block, len(read_records(block)), b"some nonce..", b"and also a tag..")
