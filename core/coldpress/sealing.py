"""What encryption makes of a block: its objects are sealed, its header and records authenticated.

A sealed object stands where the object would: the encrypted bytes, 16 bytes of tag, 12 of nonce.
The record's length includes them, and the checksum is of them: so bit rot can be told without the
key, and from a forgery. A word and a tombstone are sealed as well, of which 8 bytes and none are
encrypted. Beside the device's uuid the tag covers the object's offset in its block (u32), and the
inline record without its checksum. That record names slot, order, sequence, length, codec and kind,
and by its place the block; so a sealed object can not stand for another one, or for an older one of
its slot, nor in another place.

The header's tag covers the fields before its nonce, and all records.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from coldpress.block import (
    FIELD_BYTES,
    HEADER_BYTES,
    PLACE_MASK,
    RECORD,
    RECORD_BYTES,
    BlockError,
    Head,
    Header,
    mark_encrypted,
    read_auth,
    table_bytes,
    write_auth,
    write_object,
)
from coldpress.component import Buffer
from coldpress.layout import NONCE_BYTES, SEAL_BYTES
from coldpress.roles.packer import PackedBlock

if TYPE_CHECKING:
    from coldpress.cipher import Cipher

_OBJECT = struct.Struct("<cIQIQ")  # _KIND, offset, the inline record without its checksum
_KIND = b"o"
_HEAD = b"h"


class Sealing:
    """Seals blocks before they are written, and opens what is read of them.

    Without a cipher it leaves blocks as they are, and refuses those that are sealed.

    Notes: thread-safe.
    """

    def __init__(self, cipher: Cipher | None = None) -> None:
        self.cipher = cipher

    def seal(self, packed: PackedBlock) -> None:
        """Encrypt a packed block in place; behind each object is room for its seal."""
        if self.cipher is None:
            return
        block, count, seal = packed.data, len(packed.members), self.cipher.seal
        *nonces, last = self.cipher.nonces(count + 1)
        tables = range(HEADER_BYTES, table_bytes(count), RECORD_BYTES)
        for table, nonce in zip(tables, nonces, strict=True):
            word, slot, _, sequence = RECORD.unpack_from(block, table)
            at, shape = word & PLACE_MASK, word & ~PLACE_MASK
            body = at + RECORD_BYTES
            end = body + (shape >> 24 & PLACE_MASK)
            (inline, *_) = RECORD.unpack_from(block, at)
            about = _OBJECT.pack(_KIND, at, inline, slot, sequence)
            block[body:end] = seal(block[body : end - SEAL_BYTES], nonce, about) + nonce
            write_object(block, table, at, slot, shape, sequence, inline)
        mark_encrypted(block)
        write_auth(block, count, last, seal(b"", last, _about_head(block, count)))

    def check(self, data: memoryview, head: Head | Header) -> None:
        """Header and records of this block, which `head` is of, are as they were sealed.

        Raises `BlockError`.
        """
        if head.encrypted != (self.cipher is not None):
            raise BlockError(f"the block is {'' if head.encrypted else 'not '}encrypted")
        if self.cipher is not None:
            count = head.count if isinstance(head, Head) else len(head.records)
            nonce, tag = read_auth(data)
            _open(self.cipher, tag, nonce, _about_head(data, count), "header and records are")

    def opened(self, data: memoryview, at: int) -> bytes | memoryview:
        """The bytes of an object. `data` begins with its inline record, which was checked.

        `at` is its offset in its block. Raises `BlockError` if they are not what was sealed here.
        """
        word, slot, _, sequence = RECORD.unpack_from(data)
        end = RECORD_BYTES + (word >> 24 & PLACE_MASK)
        if self.cipher is None:
            return data[RECORD_BYTES:end]
        nonce = max(end - NONCE_BYTES, RECORD_BYTES)
        sealed = data[RECORD_BYTES:nonce]
        about = _OBJECT.pack(_KIND, at, word, slot, sequence)
        return _open(self.cipher, sealed, data[nonce:end], about, "the object is")


class WithoutKey(Sealing):
    """For looking at sealed blocks whose key is not at hand: what it opens is zeros."""

    def check(self, data: memoryview, head: Head | Header) -> None:
        pass

    def opened(self, data: memoryview, at: int) -> memoryview:
        word, *_ = RECORD.unpack_from(data)
        return memoryview(bytes(word >> 24 & PLACE_MASK))


def _open(cipher: Cipher, sealed: Buffer, nonce: Buffer, about: bytes, what: str) -> bytes:
    try:
        return cipher.open(sealed, nonce, about)
    except ValueError as error:
        raise BlockError(f"{error}: {what} not what was written here with this key") from None


def _about_head(data: memoryview, count: int) -> bytes:
    return b"".join((_HEAD, data[:FIELD_BYTES], data[HEADER_BYTES : table_bytes(count)]))
