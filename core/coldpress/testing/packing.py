"""Blocks made by a packer, with a copy of all that went into them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from itertools import count, pairwise

import attrs

from coldpress.block import read_header, read_object, table_bytes
from coldpress.folio import MAX_BYTES, MAX_ORDER
from coldpress.roles import (
    BlockIdentity,
    DeviceObject,
    OpenBlock,
    PackedBlock,
    Packer,
    Placed,
    Victim,
)
from coldpress.testing.pages import same

_GUARD = 256  # bytes on either side of a lent buffer that are nobody's
_OFFSET = 7 << 20  # of the block on a device


class Held:
    """The victims' bytes. A page is what `decode` makes of an object, and of nothing else."""

    def __init__(self) -> None:
        self.decodes = 0
        self._bytes: dict[Victim, bytes] = {}
        self._sequences = count(1)

    def victim(self, length: int, order: int = 0, seed: int = 0) -> Victim:
        """A new object, with bytes that no other one has."""
        sequence = next(self._sequences)
        rng = random.Random(sequence << 64 | seed)
        victim = Victim(
            slot=rng.getrandbits(32) >> order << order,
            word=rng.getrandbits(64),
            codec=rng.getrandbits(8),
            order=order,
            length=length,
            sequence=rng.getrandbits(20) << 44 | sequence,
        )
        self._bytes[victim] = rng.randbytes(length)
        return victim

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        assert 0 <= at <= len(out) - victim.length, "an object would end past the buffer"
        out[at : at + victim.length] = self._bytes[victim]

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        self.decodes += 1
        return _decoded(codec, data, size)

    def content(self, victim: Victim, size: int = 0) -> bytes:
        """The object's compressed bytes, or with a `size` those of its pages."""
        data = self._bytes[victim]
        return _decoded(victim.codec, data, size) if size else data


class Filling:
    """A block being filled, in a buffer that held something else before."""

    def __init__(self, packer: Packer, length: int, garbage: int = 0xEE) -> None:
        group = packer.group(length)
        assert 0 <= group < packer.open_blocks, f"group {group} of {packer.open_blocks}"
        self._lent = bytearray([garbage]) * (packer.block + 2 * _GUARD)
        self._guards = bytes([garbage]) * _GUARD
        self.block: OpenBlock = packer.begin(memoryview(self._lent)[_GUARD:-_GUARD], group)
        self.victims: list[Victim] = []
        assert list(self.block.victims) == []

    def add(self, victim: Victim, held: Held) -> None:
        self.block.add(victim, held)
        self.victims.append(victim)
        assert self.block.victims == self.victims

    def seal(self, identity: BlockIdentity, held: Held) -> Sealed:
        packed = self.block.seal(identity, held)
        for guard in (self._lent[:_GUARD], self._lent[-_GUARD:]):
            assert same(guard, self._guards), "bytes outside of the buffer were written"
        sealed = Sealed(packed, bytes(packed.data), identity, self.victims)
        self._lent[_GUARD:-_GUARD] = bytes(len(self._lent) - 2 * _GUARD)
        assert not any(packed.data), "the block is not in the buffer that was lent"
        return sealed


@attrs.frozen
class Sealed:
    """A sealed block, its bytes, and what was to go into it."""

    packed: PackedBlock
    data: bytes
    identity: BlockIdentity
    victims: list[Victim]

    def wanted(self, placed: Placed, page: int = 0) -> DeviceObject:
        """What the pipeline knows of an object in the block when it reads one of its pages."""
        return DeviceObject(
            slot=placed.victim.slot + page,
            offset=_OFFSET + placed.at,
            length=placed.length,
            stamp=self.identity.sequence & 0xFFFFFFFF,
            check=self.packed.check,
        )


class Packing:
    """A packer that was opened, and the victims' bytes."""

    def __init__(self, packer: Packer, page_size: int) -> None:
        assert packer.fits(page_size, page_size), "a page that does not shrink does not fit"
        self.packer = packer
        self.page_size = page_size
        self.held = Held()
        self.largest_folio = packer.largest_folio(page_size)
        self.longest = _longest(lambda length: packer.fits(length, page_size), packer.block)
        self._sequences = count((1 << 32) + 5)
        packer.open(page_size)

    def victim(self, share: float = 0.5, order: int = 0, seed: int = 0) -> Victim:
        """An object of this share of the longest that a folio of this order may be written as."""
        size = self.page_size << order
        if order and (size > MAX_BYTES or not self.largest_folio):
            return self.victim(share, order - 1, seed)
        most = min(size, self.largest_folio) if order else size
        return self.held.victim(1 + round(share * (most - 1)), order, seed)

    def alone(self, length: int) -> Victim:
        """An object of this length, of a folio if it is longer than a page."""
        return self.held.victim(length, MAX_ORDER if length > self.page_size else 0)

    def identity(self) -> BlockIdentity:
        sequence = next(self._sequences)
        return BlockIdentity(random.Random(sequence).randbytes(16), 3, sequence, sequence - 2)

    def pack(self, victims: list[Victim]) -> Iterator[Sealed]:
        """All of them in blocks, as writeback does it: one block of each group is open."""
        fillings: dict[int, Filling] = {}
        for victim in victims:
            group = self.packer.group(victim.length)
            filling = fillings.get(group)
            if filling is not None and not filling.block.has_room(victim.length):
                yield self.sealed(fillings.pop(group))
                filling = None
            if filling is None:
                filling = fillings[group] = Filling(self.packer, victim.length)
                assert filling.block.has_room(victim.length), "it fits, but there is no room"
            filling.add(victim, self.held)
        for filling in fillings.values():
            yield self.sealed(filling)

    def sealed(self, filling: Filling) -> Sealed:
        """The block, sealed and looked at."""
        sealed = filling.seal(self.identity(), self.held)
        self.check(sealed)
        return sealed

    def check(self, sealed: Sealed) -> None:
        """Every victim is in the block once, whole and findable, and nothing else is."""
        data, members = sealed.data, sealed.packed.members
        assert 0 < len(data) <= self.packer.block
        assert len(data) % self.page_size == 0, "a block is whole pages"
        assert len(members) == len(sealed.victims)
        assert {one.victim for one in members} == set(sealed.victims), "an object is not in it"
        spans = sorted((one.at, one.at + self.packer.extent(one.length)) for one in members)
        for (_, end), (at, _) in pairwise(spans):
            assert end <= at, "two objects overlap"
        assert spans[0][0] >= 0
        assert spans[-1][1] <= len(data), "an object ends past its block"
        assert not any(data[spans[-1][1] :]), "not zeros after the last object"
        if self.packer.keeps_compressed:
            assert not self.held.decodes, "an object was decompressed to be written"
            self._check_format(sealed, spans)
        for placed in members:
            self.read_back(sealed, placed)

    def read_back(self, sealed: Sealed, placed: Placed) -> None:
        """An object is found by each of its slots, in just what must be read or in more."""
        victim = placed.victim
        pages = 1 << victim.order
        size = 0 if self.packer.keeps_compressed else self.page_size * pages
        content = self.held.content(victim, size)
        assert placed.length == len(content)
        end = placed.at + self.packer.extent(placed.length)
        for page, stop in ((0, end), (pages - 1, len(sealed.data))):
            read = bytearray(sealed.data[placed.at : stop])
            wanted = sealed.wanted(placed, page)
            self.packer.extract(memoryview(read), wanted)
            assert same(read, sealed.data[placed.at : stop]), "extract changed what was read"
            read[:] = bytes(len(read))  # the next read of this thread goes to the same buffer
            assert same(wanted.data, content), "not the bytes that were written"
            assert isinstance(wanted.data, bytes)
            if self.packer.keeps_compressed:
                assert (wanted.codec, wanted.order) == (victim.codec, victim.order)

    def _check_format(self, sealed: Sealed, spans: list[tuple[int, int]]) -> None:
        """The cleaner and readahead find the objects by the block's own records."""
        data = memoryview(sealed.data)
        header = read_header(data, self.page_size)
        assert header.identity == sealed.identity
        assert header.pages * self.page_size == len(data)
        assert header.payload == sum(victim.length for victim in sealed.victims)
        said = sorted(
            (one.place, one.length, one.slot, one.order, one.codec, one.sequence)
            for one in header.records
        )
        assert said == sorted(
            (one.at, one.length, one.victim.slot, one.victim.order, *_age(one.victim))
            for one in sealed.packed.members
        ), "the records are not those of the objects"
        for placed in sealed.packed.members:
            victim = placed.victim
            stamp = sealed.identity.sequence
            record = read_object(data[placed.at :], victim.slot, victim.length, stamp)
            assert (record.codec, record.sequence) == _age(victim)
        ends = [table_bytes(len(spans)), *(end for _, end in spans)]
        for end, (at, _) in zip(ends, spans, strict=False):
            assert not any(data[end:at]), "what was in the buffer before goes to the device"


def _age(victim: Victim) -> tuple[int, int]:
    return victim.codec, victim.sequence


def _decoded(codec: int, data: bytes, size: int) -> bytes:
    return hashlib.shake_128(bytes([codec]) + data).digest(size)


def _longest(fits: Callable[[int], bool], most: int) -> int:
    """The longest object that fits, if every shorter one does too."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
