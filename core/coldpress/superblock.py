"""The superblock of a persistent device: what its blocks are, and how to read them.

Two areas of equal size at the start of the device, A and B, are written in turn, so that one is
whole whatever becomes of the other. Each has, in little-endian numbers, from its start on:

    head    128 bytes
    ids     what each codec id in a record means, one behind the other
    zeros   to the end of the last page written

Head: magic "COLDKEEP", version u32, page size u32, block u32, bytes of the ids u32, slots u64,
device bytes u64, uuid 16 bytes, generation u64, W u64 (every block sequence up to it is durable),
epoch u32, first epoch u32 (that in which it was formatted), area bytes u32, flags u32 (1: the
device is encrypted), CRC-32 u32 of the ids, then of an encrypted device (else zeros) nonce 12 bytes
and tag 16, reserved u32 (0), CRC-32 u32 of the head's 124 bytes before. The ids of an encrypted
device are so too; the tag is of them and of the head up to the flags.

Id: id u8, kind u8 (1 a compressor, 2 an entry type), name length u16, options length u32, data
length u32, then the plugin's name in UTF-8, its options as JSON, and its data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from coldpress.checksum import crc32
from coldpress.layout import (
    LARGEST_DEVICE,
    MOST_IDS,
    MOST_SLOTS,
    NONCE_BYTES,
    PERSISTENT_MAGIC,
    TAG_BYTES,
    impossible_sizes,
    smallest_device,
    superblock_area,
)
from coldpress.units import format_size

if TYPE_CHECKING:
    from coldpress.cipher import Cipher

EPOCHS = 1 << 20
"""A record's sequence has 20 bits for the epoch."""

VERSION = 1
COMPRESSOR = 1
ENTRY_TYPE = 2

ENCRYPTED = 1
"""The flag of a device that is encrypted."""

_HEAD = struct.Struct("<8sIIIIQQ16sQQIIII")
_REST = struct.Struct("<I12s16sI")
_LARGEST = 1 << 62  # of what is counted in 64 bits; so far it will never come
USED_UP = _LARGEST >> 1
"""Generations and block sequences from here on are read, but no more are written."""
_ABOUT = b"s"
_CRC = struct.Struct("<I")
_ID = struct.Struct("<BBHII")
HEAD_BYTES = _HEAD.size + _REST.size + _CRC.size

Ciphers: TypeAlias = "Callable[[bytes], Cipher]"
"""From the uuid of a device to what seals and opens its contents."""


class SuperblockError(ValueError):
    """These bytes are no superblock that is whole."""


class WrongKey(SuperblockError):
    """They are, but it was written with another key."""


@attrs.frozen
class KnownId:
    """What an id in a record means: the plugin that reads what has it.

    Attributes: `id`; `kind`, COMPRESSOR or ENTRY_TYPE; `name`, as `use` would say it; `options`,
    its keys and values; `data`, more bytes that it needs, such as a dictionary.
    """

    id: int
    kind: int
    name: str
    options: dict[str, Any] = attrs.field(factory=dict)
    data: bytes = b""


@attrs.frozen
class Superblock:
    """A persistent device's description of itself.

    Attributes: `page_size`, `block`, `slots`, `size`, as the pipeline file had them; `area`, bytes
    of A and of B; `uuid`, which all its blocks have; `generation`, one more at each write; `epoch`,
    one more at each opening; `first_epoch`, that in which it was formatted; `durable`, the block
    sequence up to which all blocks are; `encrypted`, whether what is on it was sealed with a key;
    `ids`.
    """

    page_size: int
    block: int
    slots: int
    size: int
    area: int
    uuid: bytes
    generation: int
    epoch: int
    first_epoch: int
    durable: int
    encrypted: bool = False
    ids: Sequence[KnownId] = ()

    @property
    def is_used_up(self) -> bool:
        """Whether what would be written next could not be read: its numbers come to an end."""
        return self.epoch + 2 >= EPOCHS or max(self.generation, self.durable) >= USED_UP

    @property
    def is_nearly_used_up(self) -> bool:
        """Whether it should be told that they do, while all can be stored elsewhere."""
        numbers = max(self.generation, self.durable)
        return self.epoch + (1 << 10) >= EPOCHS or numbers + (1 << 40) >= USED_UP

    def encode(self, cipher: Cipher | None = None) -> bytes:
        """The bytes, without the zeros at the end; `cipher`: of its device, if it is encrypted."""
        ids = b"".join(map(_encode_id, self.ids))
        head = _HEAD.pack(
            PERSISTENT_MAGIC,
            VERSION,
            self.page_size,
            self.block,
            len(ids),
            self.slots,
            self.size,
            self.uuid,
            self.generation,
            self.durable,
            self.epoch,
            self.first_epoch,
            self.area,
            ENCRYPTED if self.encrypted else 0,
        )
        nonce, tag = bytes(NONCE_BYTES), bytes(TAG_BYTES)
        if cipher is not None:
            (nonce,) = cipher.nonces(1)
            sealed = cipher.seal(ids, nonce, _ABOUT + head)
            ids, tag = sealed[: len(ids)], sealed[len(ids) :]
        head += _REST.pack(crc32(ids), nonce, tag, 0)
        return head + _CRC.pack(crc32(head)) + ids

    def differences(self, page_size: int, block: int, slots: int, size: int) -> list[str]:
        """What of a pipeline is not as it is here, a text for each."""
        here = (
            ("page_size", format_size(self.page_size), format_size(page_size)),
            ("[packer] block", format_size(self.block), format_size(block)),
            ("slots", str(self.slots), str(slots)),
            ("[device] size", format_size(self.size), format_size(size)),
        )
        return [
            f"{key} is {there} there and {now} here" for key, there, now in here if there != now
        ]


def decode(data: memoryview, ciphers: Ciphers | None = None) -> Superblock:
    """The superblock at the start of an area.

    With `ciphers` one that is encrypted must have been written with that key, else its `ids` are
    left out. Raises `SuperblockError`.
    """
    (
        _,
        version,
        page_size,
        block,
        length,
        slots,
        size,
        uuid,
        generation,
        durable,
        epoch,
        first_epoch,
        area,
        flags,
    ) = _fields(data)
    ids_crc, nonce, tag, _ = _REST.unpack_from(data, _HEAD.size)
    if version != VERSION or flags & ~ENCRYPTED:
        raise SuperblockError(f"version {version} of the superblock is not known here")
    ids = data[HEAD_BYTES : HEAD_BYTES + length]
    if len(ids) != length or crc32(ids) != ids_crc:
        raise SuperblockError("checksum of the codec table is wrong")
    plain = bytes(ids)
    if flags & ENCRYPTED:
        plain = b""
        if ciphers is not None:
            try:
                about = _ABOUT + data[: _HEAD.size]
                plain = ciphers(uuid).open(bytes(ids) + tag, nonce, about)
            except ValueError as error:
                raise WrongKey(str(error)) from None
    one = Superblock(
        page_size=page_size,
        block=block,
        slots=slots,
        size=size,
        area=area,
        uuid=uuid,
        generation=generation,
        epoch=epoch,
        first_epoch=first_epoch,
        durable=durable,
        encrypted=bool(flags & ENCRYPTED),
        ids=_decode_ids(plain),
    )
    if wrong := _impossible(one):
        raise SuperblockError(f"no pipeline has such a superblock: {wrong}")
    return one


def device_bytes(data: memoryview) -> int:
    """How long the device is, as the superblock says whose first bytes these are; 0 if none does.

    Its head is enough.
    """
    try:
        return int(_fields(data)[6])
    except SuperblockError:
        return 0


def _fields(data: memoryview) -> tuple[Any, ...]:
    """What stands in the head, in its order up to the flags. Raises `SuperblockError`."""
    if len(data) < HEAD_BYTES or bytes(data[:8]) != PERSISTENT_MAGIC:
        raise SuperblockError("no superblock starts here")
    (crc,) = _CRC.unpack_from(data, HEAD_BYTES - _CRC.size)
    if crc != crc32(data[: HEAD_BYTES - _CRC.size]):
        raise SuperblockError("checksum of the superblock is wrong")
    return _HEAD.unpack_from(data)


def newest_of(whole: Sequence[Superblock], ciphers: Ciphers | None) -> Superblock | None:
    """Which of the superblocks that are whole counts, decoded with these; None if there is none."""
    # Beside one that the key opens, one that is not encrypted is somebody else's.
    opened = [one for one in whole if one.encrypted] if ciphers else []
    return max(opened or whole, key=lambda one: one.generation, default=None)


def _impossible(one: Superblock) -> str:
    """What no pipeline would have written, or could go on from; "" if there is nothing.

    The checksum is no proof: who makes an image by hand gives it the right one.
    """
    page = one.page_size
    if wrong := impossible_sizes(page, one.block):
        return wrong
    if not 1 <= one.slots <= MOST_SLOTS:
        return f"{one.slots} slots"
    smallest = smallest_device(page, one.block, persistent=True)
    if not smallest <= one.size <= LARGEST_DEVICE:
        return f"{one.size} bytes of device"
    if one.area != superblock_area(page, one.size, persistent=True):
        return f"superblocks of {one.area} bytes"
    if max(one.generation, one.durable) >= _LARGEST:
        return "numbers that come to an end"
    if not 0 < one.first_epoch <= one.epoch < EPOCHS:
        return f"epochs {one.first_epoch} to {one.epoch}"
    return ""


def _encode_id(one: KnownId) -> bytes:
    name = one.name.encode()
    options = json.dumps(one.options, sort_keys=True).encode()
    return _ID.pack(one.id, one.kind, len(name), len(options), len(one.data)) + (
        name + options + one.data
    )


def _are_options(values: object) -> bool:
    """Whether these may be a plugin's options: each a value, or an array of texts."""
    return isinstance(values, dict) and all(
        key.isprintable()
        and (
            value is None
            or isinstance(value, str | int | float)
            or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        )
        for key, value in values.items()
    )


def _decode_ids(data: bytes) -> list[KnownId]:
    """The ids. Raises `SuperblockError` for what was not written by `_encode_id`."""
    found: dict[tuple[int, int], KnownId] = {}
    at = 0
    while at < len(data):
        if len(data) - at < _ID.size:
            raise SuperblockError("the codec table ends in the middle of an id")
        number, kind, *lengths = _ID.unpack_from(data, at)
        at += _ID.size
        if sum(lengths) > len(data) - at:
            raise SuperblockError("the codec table ends in the middle of an id")
        name, options, more = (data[at : (at := at + length)] for length in lengths)
        try:
            one = KnownId(number, kind, name.decode(), json.loads(options), more)
        except (ValueError, RecursionError) as error:
            raise SuperblockError(f"id {number} in the codec table: {error}") from None
        if kind not in (COMPRESSOR, ENTRY_TYPE) or not _are_options(one.options):
            raise SuperblockError(f"id {number} in the codec table is of no kind that is known")
        if not one.name.isprintable():
            raise SuperblockError(f"id {number} in the codec table has a name that is no text")
        if not 0 < number <= MOST_IDS or (kind, number) in found:
            raise SuperblockError(f"id {number} in the codec table is none, or there twice")
        found[kind, number] = one
    return list(found.values())
