"""What every packer promises.

The checks hold the victims' bytes themselves and count what is decompressed. A block is filled in a
buffer that held something else before, and is looked at as the device would get it; an object is
read back from just the bytes that the packer asks for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.block import BlockError
from coldpress.folio import MAX_ORDER
from coldpress.recordblock import RecordBlock
from coldpress.roles import BlockIdentity, DeviceObject, Packer, Victim, Zspage
from coldpress.testing.cost import FEW, MANY, assert_flat
from coldpress.testing.kit import Kit, built
from coldpress.testing.packing import Filling, Packing, Sealed
from coldpress.testing.pages import same
from coldpress.testing.threads import THREADS, interleaved, run_threads
from coldpress.testing.whole import WholePipelineTests

PAGE = 4096
_LARGEST_BLOCK = 8 << 20

_shapes = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, MAX_ORDER), st.integers(0, 2**64 - 1)),
    min_size=1,
    max_size=24,
)
"""Of each object: its share of the longest length, its folio's order, and a seed."""


class PackerContract(Kit):
    """The checks of the role alone."""

    role = "packer"
    plugin: ClassVar[type[Packer]]

    def packer(self, block: int = 0) -> Packer:
        """A new packer, not open yet, with blocks of so many bytes or as its options say."""
        given = self.given(Path())
        packer: Packer = built(self.role, self.plugin, given | ({"block": block} if block else {}))
        return packer

    def packing(self, page_size: int = PAGE) -> Packing:
        """Blocks hold as many pages whatever the size of these is."""
        block = self.packer().block * page_size // PAGE
        return Packing(self.packer(block), page_size)

    @pytest.mark.parametrize("page_size", [PAGE, 4 * PAGE])
    def test_many_objects_come_back(self, page_size: int) -> None:
        packing, rng = self.packing(page_size), random.Random(6)
        for largest in (0.01, 0.1, 1.0):
            victims = [
                packing.victim(rng.uniform(0, largest), rng.choice([0, 0, 0, 1, 2, MAX_ORDER]))
                for _ in range(60)
            ]
            written = [one for sealed in packing.pack(victims) for one in sealed.victims]
            assert sorted(map(id, written)) == sorted(map(id, victims))

    @pytest.mark.parametrize("page_size", [PAGE, 4 * PAGE])
    def test_any_objects_come_back(self, page_size: int) -> None:
        packing = self.packing(page_size)

        @self.settings()
        @given(_shapes)
        def check(shapes: list[tuple[float, int, int]]) -> None:
            victims = [packing.victim(*shape) for shape in shapes]
            written = [one for sealed in packing.pack(victims) for one in sealed.victims]
            assert sorted(map(id, written)) == sorted(map(id, victims))

        check()

    def test_a_block_is_the_same_whatever_the_buffer_held(self) -> None:
        packing = self.packing()
        for shares in ([0.2], [0.001, 0.9], [0.4] * 5, [0.01] * 40):
            first = packing.victim(shares[0])
            fillings = [Filling(packing.packer, first.length, held) for held in (0xEE, 0xEE, 0x5A)]
            victims = [first, *(packing.victim(share) for share in shares[1:])]
            for victim in victims:
                if fillings[0].block.has_room(victim.length):
                    for filling in fillings:
                        filling.add(victim, packing.held)
            identity = packing.identity()
            one, again, other = (filling.seal(identity, packing.held).data for filling in fillings)
            if one != again:
                pytest.skip("no two of its blocks are the same")
            assert same(one, other), "what was in the buffer before goes to the device"

    def test_what_fits_has_room_in_an_empty_block(self) -> None:
        packing = self.packing()
        longest, rng = packing.longest, random.Random(1)
        lengths = {1, 2, PAGE - 1, PAGE, *range(max(1, longest - 40), longest + 1)}
        lengths |= {rng.randint(1, longest) for _ in range(60)}
        for length in sorted(lengths):
            assert packing.packer.fits(length, PAGE), f"{longest} bytes fit, {length} do not"
            victim = packing.alone(length)
            for sealed in packing.pack([victim]):
                assert sealed.victims == [victim]

    def test_a_block_takes_what_it_has_room_for(self) -> None:
        packing = self.packing()
        for share in (0.0, 0.003, 0.1, 1.0):
            filling = Filling(packing.packer, packing.victim(share).length)
            while filling.block.has_room((victim := packing.victim(share)).length):
                filling.add(victim, packing.held)
                assert len(filling.victims) <= packing.packer.block
            packing.sealed(filling)

    def test_a_folio_takes_half_a_block_at_most(self) -> None:
        packer = self.packer()
        largest = packer.largest_folio(PAGE)
        assert largest in (0, packer.block // 2)
        assert packer.keeps_compressed or not largest, "pages are written one by one"
        assert not largest or packer.fits(largest, PAGE)
        packer.open(PAGE)
        assert packer.largest_folio(PAGE) == largest

    def test_every_length_has_its_group(self) -> None:
        packing = self.packing()
        packer, rng = packing.packer, random.Random(2)
        lengths = [*range(1, 200), *(rng.randint(1, packing.longest) for _ in range(400))]
        groups = [packer.group(length) for length in lengths]
        assert set(groups) <= set(range(packer.open_blocks))
        assert [packer.group(length) for length in lengths] == groups

    def test_blocks_that_are_open_together_share_nothing(self) -> None:
        packing = self.packing()
        fillings = [Filling(packing.packer, packing.victim(0.1).length) for _ in range(3)]
        for _ in range(4):
            for filling in fillings:
                victim = packing.victim(0.1)
                if filling.block.has_room(victim.length):
                    filling.add(victim, packing.held)
        for filling in reversed(fillings):
            packing.sealed(filling)

    def test_damaged_objects_are_refused(self) -> None:
        packing, rng = self.packing(), random.Random(3)
        for sealed in packing.pack([packing.victim(share) for share in (0.001, 0.01, 0.4, 1)]):
            for placed in sealed.packed.members:
                end = placed.at + packing.packer.extent(placed.length)
                read = bytearray(sealed.data[placed.at : end])
                places = {*range(min(64, len(read))), *range(len(read) - 8, len(read))}
                places |= {rng.randrange(len(read)) for _ in range(150)}
                for place in places:
                    flip = 1 << rng.randrange(8)
                    read[place] ^= flip
                    self.refused(packing, read, sealed.wanted(placed))
                    read[place] ^= flip
                for length in (0, 1, len(read) // 2, len(read) - 1):
                    self.refused(packing, read[:length], sealed.wanted(placed))
                self.refused(packing, rng.randbytes(len(read)), sealed.wanted(placed))
                self.refused(packing, bytes(len(read)), sealed.wanted(placed))
                packing.read_back(sealed, placed)

    def test_the_bytes_of_another_object_are_refused(self) -> None:
        packing = self.packing()
        first, second = (self.one_block(packing, [0.1, 0.3, 0.2]) for _ in range(2))
        for old, new in zip(first.packed.members, second.packed.members, strict=True):
            read = bytearray(first.data[old.at :])
            wanted = second.wanted(new)
            # The write of the later block was lost: even what it says of itself may be the same.
            self.refused(packing, read, wanted)
            wanted.slot = old.victim.slot
            self.refused(packing, read, wanted)
            for length in {1, old.length - 1, old.length + 1} - {0, old.length}:
                wanted = first.wanted(old)
                wanted.length = length
                self.refused(packing, read, wanted)

    def test_an_object_of_another_slot_or_of_an_earlier_block_is_refused(self) -> None:
        packing = self.packing()
        if not packing.packer.keeps_compressed:
            pytest.skip("what it writes does not say whose it is")
        sealed = self.one_block(packing, [0.1, 0.3])
        for placed in sealed.packed.members:
            read = bytearray(sealed.data[placed.at :])
            for slot in (placed.victim.slot + 1, placed.victim.slot - 1):
                wanted = sealed.wanted(placed)
                wanted.slot = slot
                self.refused(packing, read, wanted)
            for later in (-1, 1, 255, 1 << 20):
                wanted = sealed.wanted(placed)
                wanted.stamp += later
                self.refused(packing, read, wanted)

    def test_hostile_bytes_are_refused(self) -> None:
        packing = self.packing()

        @self.settings()
        @given(st.binary(max_size=200), st.integers(1, packing.longest), st.integers(0, 2**32 - 1))
        def check(data: bytes, length: int, number: int) -> None:
            wanted = DeviceObject(number, number << 12, length, number, number)
            for read in (data, data.ljust(packing.packer.extent(length), b"\xff")):
                self.refused(packing, read, wanted)

        check()

    def test_what_the_cleaner_moved_is_read_too(self) -> None:
        packing = self.packing()
        if not packing.packer.keeps_compressed:
            pytest.skip("the cleaner moves nothing of it")
        buffer = memoryview(bytearray(packing.packer.block))
        block = RecordBlock(buffer, PAGE)
        for share in (0.01, 0.4, 0.0, 0.3):
            block.add(packing.victim(share), packing.held)
        identity = packing.identity()
        packed = block.seal(identity, packing.held)
        sealed = Sealed(packed, bytes(packed.data), identity, block.victims)
        for placed in packed.members:
            packing.read_back(sealed, placed)

    def test_a_block_holds_a_zspage(self) -> None:
        packing = self.packing()
        if not packing.packer.whole_zspages:
            pytest.skip("it does not ask for whole zspages")
        rng = random.Random(4)
        for pages in {1, 3, packing.packer.block // PAGE}:
            for size in (56, 208, 1024, 2720, PAGE):
                owners = list(range(pages * PAGE // size))
                zspage = Zspage(number=9, size=size, pages=pages, owners=owners)
                filling = Filling(packing.packer, 1)
                for number in owners:
                    victim = packing.held.victim(rng.randint(1, size - 8))
                    room = filling.block.has_room(victim.length)
                    assert room or number, "there is no room for the victim itself"
                    if number == 0:
                        filling.block.like(zspage)
                    if room and (number == 0 or rng.random() < 0.7):
                        filling.add(victim, packing.held)
                packing.sealed(filling)

    def test_threads_seal_and_read_at_the_same_time(self) -> None:
        packing = self.packing()
        blocks = [
            [self.filled(packing, 0.02 * (thread + 4 * turn)) for turn in range(6)]
            for thread in range(THREADS)
        ]
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for filling, identity in blocks[number]:
                    with interleaved(number):
                        sealed = filling.seal(identity, packing.held)
                    packing.check(sealed)
                    for placed in sealed.packed.members[:2]:
                        with interleaved(number):
                            packing.read_back(sealed, placed)
            except BaseException as error:
                errors.append(error)

        run_threads(work)
        if errors:
            raise errors[0]

    def test_an_object_costs_no_more_in_a_block_of_many(self) -> None:
        # The largest block has room for no more.
        sizes = FEW // 8, MANY // 8
        few, many = (_crowded(self.packer(_LARGEST_BLOCK), size) for size in sizes)
        if few is None or many is None:
            pytest.skip("a block has no room for as many")
        assert_flat("has_room and add", lambda: next(few), lambda: next(many))

    def filled(self, packing: Packing, share: float) -> tuple[Filling, BlockIdentity]:
        """A block with some objects of about this share of the longest, and its identity to be."""
        victim = packing.victim(share)
        filling = Filling(packing.packer, victim.length)
        while filling.block.has_room(victim.length) and len(filling.victims) < 20:
            filling.add(victim, packing.held)
            victim = packing.victim(share)
        return filling, packing.identity()

    def one_block(self, packing: Packing, shares: list[float]) -> Sealed:
        """The first block of objects of these shares of the longest."""
        return next(packing.pack([packing.victim(share) for share in shares]))

    def refused(self, packing: Packing, read: bytes | bytearray, wanted: DeviceObject) -> None:
        """`extract` says that these are not the bytes, and gives none."""
        with pytest.raises(BlockError):
            packing.packer.extract(memoryview(read), wanted)
        assert wanted.data == b"", "bytes were given that were refused"


class PackerTests(WholePipelineTests, PackerContract):
    """Proves a packer: subclass it as `TestYours` and set `plugin`."""

    def tables(self, scratch: Path) -> dict[str, Any]:
        tables = super().tables(scratch)
        if not self.plugin.keeps_compressed:  # then each page takes a whole block
            tables["device"] = {"size": "64MiB"}
        return tables


class _Nothing:
    """The bytes of objects that nobody reads back."""

    def copy_into(self, victim: Victim, out: memoryview, at: int) -> None:
        pass

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        return bytes(size)


def _crowded(packer: Packer, size: int) -> Iterator[bool] | None:
    """Adds one more to a block of `size` objects at each step; None if they have no room."""
    packer.open(PAGE)
    length, objects = 20, _Nothing()
    block = packer.begin(memoryview(bytearray(packer.block)), packer.group(length))
    victims = (Victim(slot, 0, 1, 0, length, slot) for slot in count())
    for _ in range(size):
        if not block.has_room(length):
            return None
        block.add(next(victims), objects)

    def more() -> Iterator[bool]:
        for victim in victims:
            yield block.has_room(length)
            block.add(victim, objects)

    return more()
