"""The packer role."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Protocol

import attrs

from coldpress.component import Component, option
from coldpress.units import Size, format_size

if TYPE_CHECKING:
    from coldpress.block import BlockIdentity


@attrs.frozen
class Victim:
    """An object that leaves the pool, as it was when the policy named it.

    `word` is the slot's whole table word, `codec` and `length` describe the compressed bytes,
    `order` is the folio's (the object stands for 2**order pages), `sequence` its age.
    """

    slot: int
    word: int
    codec: int
    order: int
    length: int
    sequence: int


class Victims(Protocol):
    """Where a packer takes its victims from."""

    def take(self) -> Victim | None:
        """The coldest object that is left, or None; it is the packer's until it is put back."""

    def put_back(self, victim: Victim) -> None:
        """Undo the latest `take` not yet undone."""

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        """Copy the victim's compressed bytes to `out` from `at` on."""


@attrs.frozen
class PackedBlock:
    """A block ready to be written.

    `data` is whole pages, padded with zeros, and belongs to the packer: it is good until the next
    `pack` or `idle`. `members` gives each victim with the byte offset, inside the block, of its
    inline record (the compressed bytes follow it).
    """

    data: memoryview
    members: list[tuple[Victim, int]]


def _block(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 4096 or value > 8 << 20:
        raise ValueError(f"must be from 4KiB to 8MiB, got {format_size(value)}")


@attrs.define(slots=False, eq=False, kw_only=True)
class Packer(Component):
    """Turns victims into blocks of N pages, written in one I/O.

    Order belongs to the policy: a packer takes victims from the coldest on and may group what it
    took. What it took and does not put into the block it puts back, in reverse order.

    Attributes:
        block: config key; a block's size in bytes, a multiple of the page size.

    Notes:
        Not thread-safe: the pipeline calls under its lock. Nothing is decompressed, and no page is
        allocated but the block's own buffer, which the pipeline counts against the pool's limit
        while it is in use.
    """

    block: Size = option(
        default=Size(64 << 10), help="bytes written in one I/O, whole pages", validator=_block
    )

    @abc.abstractmethod
    def open(self, page_size: int) -> None:
        """Make ready for pages of `page_size` bytes."""

    @abc.abstractmethod
    def fits(self, length: int) -> bool:
        """Whether an object of `length` bytes can ever be written; called before `open` too."""

    @abc.abstractmethod
    def pack(self, victims: Victims, identity: BlockIdentity) -> PackedBlock | None:
        """Take victims until a block is full, or none is left; None if there was none at all.

        `identity` goes into the block's header.
        """

    def idle(self) -> None:
        """No block is in use any more: give the buffer back to the system."""
