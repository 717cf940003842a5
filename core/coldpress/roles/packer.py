"""The packer role."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar, Protocol

import attrs

from coldpress.component import Component, option
from coldpress.layout import LARGEST_BLOCK
from coldpress.roles.allocator import Zspage
from coldpress.units import Size, format_size

if TYPE_CHECKING:
    from coldpress.opendevice import OpenDevice

KIND_OBJECT = 1
"""The kind of a record: an object of compressed bytes."""
KIND_WORD = 2
"""A slot's word that needs no object, of 8 bytes, such as that of a filled page."""
KIND_TOMBSTONE = 3
"""The slot is empty."""

_SMALL = 48  # bytes of the two copies of a record


def room_of(kind: int, length: int) -> int:
    """What a record of so many bytes counts for in its block: an object's alone.

    Of what has next to none the record itself is what takes room: a block of such is not empty.
    """
    return length if kind == KIND_OBJECT else length + _SMALL


@attrs.define(eq=False)  # not frozen: one is made for each object, and that would cost thrice
class Victim:
    """An object that is to be written, as it was when it was chosen.

    Attributes:
        slot: the first of its folio's slots.
        word: what the table has for those of them that are still its own.
        codec: the id of the compressor that made its bytes.
        order: it has 2**order slots, and is that many pages when it is decompressed.
        length: how many compressed bytes it has.
        sequence: its age: of two objects of one slot the later one's is larger.
        kind: of its record. Packers are given objects alone.
    """

    slot: int
    word: int
    codec: int
    order: int
    length: int
    sequence: int
    kind: int = KIND_OBJECT

    @property
    def slots(self) -> range:
        """The slots of its folio, those included that hold something else by now."""
        return range(self.slot, self.slot + (1 << self.order))

    @property
    def room(self) -> int:
        """What it counts for in its block."""
        return room_of(self.kind, self.length)


@attrs.frozen
class BlockIdentity:
    """What a header says of the device that its block belongs to, and of the block's age.

    Attributes:
        uuid: 16 bytes that tell the device's contents from any others.
        epoch: raised each time that the device is opened.
        sequence: the block's number, counted in the order in which blocks are sealed.
        durable: every block up to this sequence was flushed before this header was made.
        number: where on the device the block is, in blocks from the first: in any other place it
            is damage.
    """

    uuid: bytes
    epoch: int
    sequence: int
    durable: int = 0
    number: int = 0


@attrs.frozen
class Placed:
    """Where in a sealed block a victim is.

    Attributes:
        victim: as it was added.
        at: bytes from the block's start to the object's place.
        length: bytes of the object there.
    """

    victim: Victim
    at: int
    length: int


@attrs.frozen
class PackedBlock:
    """A block ready to be written.

    Attributes:
        data: whole pages, zeros after the last object.
        members: what is where in it.
        check: kept in RAM for as long as the block is in use, and handed to `Packer.extract`.
    """

    data: memoryview
    members: list[Placed]
    check: int = 0


@attrs.define
class DeviceObject:
    """An object on the device: where it is, and after `Packer.extract` what it is.

    `extract` fills in `codec`, `order` and `data`, and from records `sequence`.

    Attributes:
        slot: one of its folio's.
        offset: the object's place in the one range of offsets that all devices have.
        length: bytes of the object there.
        stamp: the low 32 bits of the block's sequence, as the block stood when the object was
            looked up.
        check: what the packer had kept for the block then.
        codec: the id of the compressor that made `data`.
        order: it is 2**order pages when it is decompressed.
        data: the object's compressed bytes.
        read_bytes: how many bytes were read from the device for it.
        pages: not 0: the whole block is read, which has so many pages.
        others: with `pages`, the other objects that are in the block.
        home: the device on which the object was looked up.
        sequence: its age, as its record has it; 0 without records.
    """

    slot: int
    offset: int
    length: int
    stamp: int
    check: int = 0
    codec: int = 0
    order: int = 0
    data: bytes = b""
    read_bytes: int = 0
    pages: int = 0
    others: list[DeviceObject] = attrs.field(factory=list)
    home: OpenDevice | None = attrs.field(default=None, repr=False)
    sequence: int = 0

    @property
    def first_slot(self) -> int:
        """The first slot of its folio."""
        return self.slot & -(1 << self.order)


class Objects(Protocol):
    """What a block may do with its victims' bytes."""

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        """Copy the compressed bytes of a victim that is unchanged to `out` from `at` on."""

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        """Decompress. It is counted: only a packer that can not do without calls this."""


class OpenBlock(abc.ABC):
    """A block being filled, in a buffer that the core lends until the block was written.

    Attributes:
        victims: in the order in which they were added.

    Notes:
        `has_room`, `add` and `like` run under the pipeline's lock, `seal` without. What the former
        cost does not depend on how many objects are in.
    """

    victims: list[Victim]

    @abc.abstractmethod
    def has_room(self, length: int) -> bool:
        """Whether an object of so many bytes fits in beside the others."""

    @abc.abstractmethod
    def add(self, victim: Victim, objects: Objects) -> None:
        """Copy a victim's bytes in; there is room."""

    def like(self, zspage: Zspage) -> None:
        """What is added from now on lies in this zspage; for packers with `whole_zspages`."""
        raise TypeError(f"{type(self).__name__} can not hold a zspage")

    @abc.abstractmethod
    def seal(self, identity: BlockIdentity, objects: Objects) -> PackedBlock:
        """Finish the block. Nothing is added any more."""


def _block(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 4096 <= value <= LARGEST_BLOCK:
        raise ValueError(f"must be from 4KiB to 8MiB, got {format_size(value)}")


@attrs.define(slots=False, eq=False, kw_only=True)
class Packer(Component):
    """Says what a block is: which victims share one, and how they lie in it.

    Order belongs to the policy. The core takes victims from the coldest on, asks `group` which of
    the open blocks each belongs in, and writes a block when the next of its group has no room.

    Attributes:
        block: config key; a block's size in bytes, a multiple of the page size.
        open_blocks: how many groups there are, known after `open`. Blocks that are not full yet
            take an eighth of the pool's limit at most; beyond that the oldest is written short.

    Notes:
        `fits` and `largest_folio` are called before `open` too. `group` and `begin` run under the
        pipeline's lock, `extract` on any number of threads without. No page is allocated but the
        lent buffers, which count against the pool's limit.
    """

    whole_zspages: ClassVar[bool] = False
    """Whether with a victim all that shares its zspage goes into the block, young or old."""

    keeps_compressed: ClassVar[bool] = True
    """Whether what `extract` gives is still compressed.

    Its blocks then are those of `coldpress.block`, header, records and objects: the cleaner and
    readahead find objects by their records, and `extract` is given what the cleaner moved too.
    `coldpress.recordblock.RecordBlock` makes such blocks. So a running pipeline can change from one
    such packer to another, and `extract` may be given what that one wrote.
    """

    block: Size = option(
        default=Size(64 << 10), help="bytes written in one I/O, whole pages", validator=_block
    )

    def largest_folio(self, page_size: int) -> int:
        """The most bytes of an object that is a folio's: half a block, or 0, no folios.

        A larger one would leave the rest of its block empty too often.
        """
        half = self.block // 2
        return half if self.keeps_compressed and self.fits(half, page_size) else 0

    @abc.abstractmethod
    def open(self, page_size: int) -> None:
        """Make ready for pages of `page_size` bytes."""

    @property
    def open_blocks(self) -> int:
        return 1

    @abc.abstractmethod
    def fits(self, length: int, page_size: int) -> bool:
        """Whether an object of `length` bytes can ever be written: a block of its own has room."""

    def group(self, length: int) -> int:
        """Which open block an object of `length` bytes joins: 0 to `open_blocks` - 1."""
        return 0

    @abc.abstractmethod
    def begin(self, buffer: memoryview, group: int) -> OpenBlock:
        """An empty block of a group in this buffer of `block` bytes, which may hold anything."""

    @abc.abstractmethod
    def extent(self, length: int) -> int:
        """How many bytes from an object's place on must be read to have it all.

        They lie in its block and are no other object's.
        """

    @abc.abstractmethod
    def extract(self, data: memoryview, wanted: DeviceObject) -> None:
        """Check the bytes read from the object's place on, and fill in what `wanted` lacks.

        `data` may be longer than `extent` says; it is not changed, nor kept.
        Raises `BlockError`, and fills in nothing, if anything is not as it was written, or if it
        is too short.
        """
