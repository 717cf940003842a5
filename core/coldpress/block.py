"""The bytes of a block: header, records, objects.

A block is written once, as 1 to N whole pages, and describes itself. All numbers are
little-endian.

    header    96 bytes
    records   24 bytes each, `count` of them
    objects   for each record, in their order: the record again (24 bytes, "inline"), then the
              compressed bytes; a word record has 8 bytes here, a tombstone none
    zeros     to the end of the last page

Header: magic "CPBK", version u8, record size u8, flags u16 (1: the block is encrypted), uuid 16
bytes, epoch u32, pages u32, block sequence u64, W u64 (every block sequence up to it was flushed
before this header was built), count u32, object bytes u32, the block's number u32, then what
authenticates an encrypted block's header and records (else zeros), nonce 12 bytes and tag 16,
reserved u32 (0), and CRC-32 of the 92 bytes before and of all records. `coldpress.sealing` has what
an encrypted block's objects are.

Record: u64 of place (24 bits), length (24), codec (8), kind (4), order (4), from the low end up;
slot u32; CRC-32 u32; sequence u64. In the table the place is the byte offset of the inline record
from the block's start. In the inline record it is the low 24 bits of the block's sequence: a reader
that expects another one knows that these are the bytes of an earlier block. The CRC covers the
record without place and CRC, then the object's bytes; so both copies, and a copy that is moved to
another block, carry the same one.
"""

from __future__ import annotations

import struct

import attrs

from coldpress.checksum import crc32
from coldpress.folio import MAX_ORDER
from coldpress.layout import NONCE_BYTES, TAG_BYTES
from coldpress.roles.packer import (
    KIND_OBJECT,
    KIND_TOMBSTONE,
    BlockIdentity,
    DeviceObject,
    room_of,
)

MAGIC = b"CPBK"
VERSION = 1

ENCRYPTED = 1
"""The flag of a block whose objects, header and records were sealed with a key."""

_HEADER = struct.Struct("<4sBBH16sIIQQIII")
_AUTH = struct.Struct("<12s16sI")
_CRC = struct.Struct("<I")
RECORD = struct.Struct("<QIIQ")
_COVERED = struct.Struct("<QIQ")
FIELD_BYTES = _HEADER.size
HEADER_BYTES = _HEADER.size + _AUTH.size + _CRC.size
RECORD_BYTES = RECORD.size
PLACE_MASK = (1 << 24) - 1
EPOCH_AT = 44
"""How far to the right a record's sequence is shifted to get its epoch."""
LARGEST_SEQUENCE = 1 << 62
"""Block sequences are below; so far none will ever come."""
_FLAGS = struct.Struct("<H")
_FLAGS_AT = 6


@attrs.frozen
class Record:
    """One record, as read. `place` is an offset in a table, a stamp in an inline record."""

    kind: int
    slot: int
    order: int
    sequence: int
    place: int
    length: int
    codec: int
    crc: int

    @property
    def room(self) -> int:
        """What it counts for in its block."""
        return room_of(self.kind, self.length)


@attrs.frozen
class Header:
    """A block's header with its table of records; `encrypted`, whether they were sealed."""

    identity: BlockIdentity
    pages: int
    payload: int
    records: list[Record]
    encrypted: bool


@attrs.frozen
class Head:
    """A block's header alone; `count` records stand behind it."""

    identity: BlockIdentity
    pages: int
    payload: int
    count: int
    encrypted: bool


class BlockError(ValueError):
    """These bytes are not what a block's bytes must be; the message says how."""


def table_bytes(objects: int, align: int = 1) -> int:
    """What header and records of so many objects take, up to the next multiple of `align`."""
    size = HEADER_BYTES + RECORD_BYTES * objects
    return size + -size % align


def shape_of(length: int, codec: int, order: int, kind: int = KIND_OBJECT) -> int:
    """A record's first word, without the place."""
    return length << 24 | codec << 48 | kind << 56 | order << 60


def write_object(
    buffer: memoryview, table: int, at: int, slot: int, shape: int, sequence: int, stamp: int
) -> None:
    """Write both copies of an object's record: at `table` and, with the object behind it, `at`."""
    data = at + RECORD_BYTES
    end = data + (shape >> 24 & PLACE_MASK)
    crc = crc32(buffer[data:end], crc32(_COVERED.pack(shape, slot, sequence)))
    RECORD.pack_into(buffer, table, shape | at, slot, crc, sequence)
    RECORD.pack_into(buffer, at, shape | stamp & PLACE_MASK, slot, crc, sequence)


def write_header(
    buffer: memoryview, identity: BlockIdentity, pages: int, count: int, payload: int
) -> None:
    """Write the header over `count` records that stand behind it already."""
    _HEADER.pack_into(
        buffer,
        0,
        MAGIC,
        VERSION,
        RECORD_BYTES,
        0,
        identity.uuid,
        identity.epoch,
        pages,
        identity.sequence,
        identity.durable,
        count,
        payload,
        identity.number,
    )
    write_auth(buffer, count, bytes(NONCE_BYTES), bytes(TAG_BYTES))


def mark_encrypted(buffer: memoryview) -> None:
    """Say so in a header that was written; `write_auth` is to follow."""
    _FLAGS.pack_into(buffer, _FLAGS_AT, ENCRYPTED)


def write_auth(buffer: memoryview, count: int, nonce: bytes, tag: bytes) -> None:
    """Write what authenticates the header's fields and the records, and their checksum."""
    _AUTH.pack_into(buffer, FIELD_BYTES, nonce, tag, 0)
    _CRC.pack_into(buffer, HEADER_BYTES - _CRC.size, _header_crc(buffer, count))


def read_auth(data: memoryview) -> tuple[bytes, bytes]:
    """Nonce and tag of a header that `read_head` has taken."""
    nonce, tag, _ = _AUTH.unpack_from(data, FIELD_BYTES)
    return nonce, tag


def spoilt_header(buffer: memoryview, uuid: bytes) -> None:
    """Write what is left of a header that is lost: whose it was, and a checksum that is wrong."""
    write_header(buffer, BlockIdentity(uuid, 0, 0), 1, 0, 0)
    buffer[HEADER_BYTES - 1] ^= 0xFF


def head_bytes(data: memoryview) -> int:
    """How many bytes header and records have if a block starts here; 0 if none does."""
    if len(data) < HEADER_BYTES or bytes(data[: len(MAGIC)]) != MAGIC:
        return 0
    return table_bytes(int(_HEADER.unpack_from(data)[9]))


def read_head(data: memoryview, page_size: int) -> Head:
    """The header at the start of `data`, which has all records too, and the two are undamaged.

    Raises `BlockError`. Every count and offset is checked before it is used.
    """
    if len(data) < HEADER_BYTES:
        raise BlockError(f"{len(data)} bytes are too few for a header")
    (
        magic,
        version,
        record_size,
        flags,
        uuid,
        epoch,
        pages,
        sequence,
        durable,
        count,
        payload,
        number,
    ) = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BlockError("no block starts here")
    if (version, record_size, flags | ENCRYPTED) != (VERSION, RECORD_BYTES, ENCRYPTED):
        raise BlockError(f"version {version} of the block format is not known here")
    if table_bytes(count) > min(len(data), pages * page_size):
        raise BlockError(f"{count} records do not fit")
    (crc,) = _CRC.unpack_from(data, HEADER_BYTES - _CRC.size)
    if crc != _header_crc(data, count):
        raise BlockError("checksum of header and records is wrong")
    # Who makes a block by hand gives it the right checksum, too.
    if not durable < sequence < LARGEST_SEQUENCE:
        raise BlockError(f"block sequence {sequence}, durable up to {durable}: no block has these")
    identity = BlockIdentity(uuid, epoch, sequence, durable, number)
    return Head(identity, pages, payload, count, bool(flags & ENCRYPTED))


def read_header(data: memoryview, page_size: int) -> Header:
    """The header and records at the start of `data`, which is a whole block or its first pages.

    Raises `BlockError`.
    """
    head = read_head(data, page_size)
    at = range(HEADER_BYTES, HEADER_BYTES + RECORD_BYTES * head.count, RECORD_BYTES)
    records = [read_record(data, place) for place in at]
    if any(record.order > MAX_ORDER for record in records):
        raise BlockError("a record is of a folio that is larger than any")
    if any(not KIND_OBJECT <= record.kind <= KIND_TOMBSTONE for record in records):
        raise BlockError("a record is of an unknown kind")
    return Header(head.identity, head.pages, head.payload, records, head.encrypted)


def read_record(data: memoryview, at: int) -> Record:
    """The record at `at`, unchecked."""
    shape, slot, crc, sequence = RECORD.unpack_from(data, at)
    return Record(
        kind=shape >> 56 & 15,
        slot=slot,
        order=shape >> 60,
        sequence=sequence,
        place=shape & PLACE_MASK,
        length=shape >> 24 & PLACE_MASK,
        codec=shape >> 48 & 255,
        crc=crc,
    )


def read_object(
    data: memoryview, slot: int, length: int, stamp: int, kind: int = KIND_OBJECT
) -> Record:
    """Check an inline record and the object behind it, both in `data`, and return the record.

    `stamp` is the sequence of the block that the object was written in. Raises `BlockError` if
    anything is not as it was written.
    """
    if len(data) < RECORD_BYTES + length:
        raise BlockError("the object does not fit into its block")
    record = read_record(data, 0)
    if record.kind != kind or record.length != length or record.order > MAX_ORDER:
        raise BlockError("the record in front of the object is damaged")
    if record.place != stamp & PLACE_MASK:
        raise BlockError("these are the bytes of an earlier block: its write was lost")
    pages = 1 << record.order
    if record.slot % pages or not record.slot <= slot < record.slot + pages:
        raise BlockError(f"the object belongs to slot {record.slot}")
    if object_crc(record, data[RECORD_BYTES : RECORD_BYTES + length]) != record.crc:
        raise BlockError("checksum of the object is wrong")
    return record


def read_copy(block: memoryview, at: int, record: Record, stamp: int) -> None:
    """Check the copy of a record in front of its object, which is at `at`, and the object.

    `block` has all of the block, and `stamp` is its sequence. Raises `BlockError`, also if both are
    whole but not of the same object: that is no block that was written.
    """
    copy = read_object(block[at:], record.slot, record.length, stamp, record.kind)
    for one in ("slot", "order", "sequence", "codec", "crc"):
        if getattr(copy, one) != getattr(record, one):
            raise BlockError("the record in front of the object is another one")


def object_crc(record: Record, body: memoryview) -> int:
    """The checksum that the record should have if `body` is its object."""
    shape = shape_of(record.length, record.codec, record.order, record.kind)
    return crc32(body, crc32(_COVERED.pack(shape, record.slot, record.sequence)))


def claimed(data: memoryview) -> Head | None:
    """What a header says that may be damaged; None if no block starts here."""
    magic, _, _, flags, uuid, epoch, pages, sequence, durable, count, payload, number = (
        _HEADER.unpack_from(data)
    )
    if magic != MAGIC:
        return None
    identity = BlockIdentity(uuid, epoch, sequence, durable, number)
    return Head(identity, pages, payload, count, bool(flags & ENCRYPTED))


def extract_object(data: memoryview, wanted: DeviceObject) -> None:
    """`Packer.extract` for objects with an inline record in front of them."""
    record = read_object(data, wanted.slot, wanted.length, wanted.stamp)
    wanted.codec = record.codec
    wanted.order = record.order
    wanted.sequence = record.sequence
    wanted.data = bytes(data[RECORD_BYTES : RECORD_BYTES + wanted.length])


def _header_crc(data: memoryview, count: int) -> int:
    start = crc32(data[: HEADER_BYTES - _CRC.size])
    return crc32(data[HEADER_BYTES : HEADER_BYTES + RECORD_BYTES * count], start)
