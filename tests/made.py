"""Blocks of records that nobody has written, each checksum right."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from coldpress.block import HEADER_BYTES, RECORD_BYTES, shape_of, write_header, write_object
from coldpress.roles.packer import KIND_OBJECT, BlockIdentity, room_of


@attrs.frozen
class Made:
    """A record, and what stands behind it; `copy`: in front of that is another one."""

    slot: int
    body: bytes
    sequence: int
    order: int = 0
    codec: int = 1
    kind: int = KIND_OBJECT
    copy: Made | None = None


def made_block(size: int, page_size: int, identity: BlockIdentity, some: Sequence[Made]) -> bytes:
    """A block of so many bytes with these records, as far as there is room for them."""
    block, table = memoryview(bytearray(size)), HEADER_BYTES
    at = HEADER_BYTES + len(some) * RECORD_BYTES
    payload = 0
    for number, one in enumerate(some):
        end = at + RECORD_BYTES + len(one.body)
        if end > size:
            some = some[:number]
            break
        block[end - len(one.body) : end] = one.body
        # The table's first: the other one replaces only what stands in front of the body.
        for record, place in ((one, table), (one.copy or one, at)):
            shape = shape_of(len(one.body), record.codec, record.order, record.kind)
            write_object(block, place, at, record.slot, shape, record.sequence, identity.sequence)
        table += RECORD_BYTES
        payload += room_of(one.kind, len(one.body))
        at = end
    write_header(block, identity, max(1, -(-at // page_size)), len(some), payload)
    return bytes(block)
