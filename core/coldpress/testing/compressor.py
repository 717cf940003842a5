"""What every compressor promises."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import attrs
from hypothesis import given
from hypothesis import strategies as st

from coldpress.roles import Compressor
from coldpress.testing.kit import Kit
from coldpress.testing.pages import KINDS, PAGE, page, same
from coldpress.testing.threads import interleaved, run_threads
from coldpress.testing.whole import WholePipelineTests

_ORDERS = range(5)  # folios of 1 to 16 pages
_SLACK = 128 << 10  # bytes that a call may need besides its result
_BOMB = 4 << 20


class CompressorContract(Kit):
    """The checks of the role alone."""

    role = "compressor"
    plugin: ClassVar[type[Compressor]]

    def opened(self) -> Compressor:
        compressor: Compressor = self.make()
        compressor.open()
        return compressor

    def test_folios_of_every_size_and_kind_come_back(self) -> None:
        compressor = self.opened()
        for order in _ORDERS:
            for folio in _folios(1 << order):
                data = compressor.compress(folio)
                assert isinstance(data, bytes)
                assert same(compressor.decompress(data, len(folio)), folio)

    def test_thousands_of_pages_come_back(self) -> None:
        compressor = self.opened()
        for number in range(3000):
            folio = page(KINDS[number % len(KINDS)], number, 1)
            assert same(compressor.decompress(compressor.compress(folio), PAGE), folio), (
                f"page {number} came back changed"
            )

    def test_any_contents_come_back(self) -> None:
        compressor = self.opened()

        @self.settings()
        @given(st.binary(max_size=PAGE), st.integers(1, PAGE))
        def check(seed: bytes, repeat: int) -> None:
            folio = (seed * repeat)[:PAGE].ljust(PAGE, seed[:1] or b"\0")
            assert same(compressor.decompress(compressor.compress(folio), PAGE), folio)

        check()

    def test_any_bytes_like_is_taken_and_nothing_of_it_changed(self) -> None:
        compressor = self.opened()
        folio = page("text", 3, 1)
        for around in (0, 64):
            writable = bytearray(b"\xa5" * around + folio + b"\xa5" * around)
            before = bytes(writable)
            view = memoryview(writable)[around : around + PAGE]
            for source in (view, view.toreadonly(), bytes(view), bytearray(view)):
                data = compressor.compress(source)
                room = bytearray(b"\x5a" * around + data + b"\x5a" * around)
                packed = memoryview(room)[around : around + len(data)]
                for stored in (packed, packed.toreadonly(), bytes(packed), bytearray(packed)):
                    assert same(compressor.decompress(stored, PAGE), folio)
                assert same(room, b"\x5a" * around + data + b"\x5a" * around)
            assert same(writable, before)

    def test_a_result_is_a_copy(self) -> None:
        compressor = self.opened()
        source = bytearray(page("text", 4, 1))
        folio = bytes(source)
        data = compressor.compress(source)
        source[:] = bytes(PAGE)
        stored = bytearray(data)
        back = compressor.decompress(stored, PAGE)
        stored[:] = bytes(len(stored))
        compressor.decompress(compressor.compress(page("noise", 5, 1)), PAGE)
        assert same(back, folio)
        assert isinstance(back, bytes)

    def test_each_object_stands_alone(self) -> None:
        compressor, other = self.opened(), self.opened()
        folios = [page(kind, slot, 1) for slot in range(20) for kind in KINDS]
        objects = [compressor.compress(folio) for folio in folios]
        order = random.Random(1).sample(range(len(folios)), len(folios))
        for number in order:
            assert same(compressor.decompress(objects[number], PAGE), folios[number])
            assert same(other.decompress(objects[number], PAGE), folios[number]), (
                "another one with the same options can not read it"
            )

    def test_damaged_objects_are_errors_or_as_long_as_was_asked(self) -> None:
        compressor, rng = self.opened(), random.Random(2)
        for number in range(300):
            folio = page(KINDS[number % len(KINDS)], number, 1)
            for data in _damaged(compressor.compress(folio), rng):
                try:
                    result = compressor.decompress(data, PAGE)
                except Exception:
                    continue
                assert len(result) <= PAGE, "more bytes than there is room for"

    def test_an_object_of_more_pages_makes_no_more_bytes_than_asked(self) -> None:
        compressor = self.opened()
        try:  # no folio is as large, but a hostile object may stand for as much
            data = compressor.compress(bytes(_BOMB))
        except Exception:
            data = compressor.compress(bytes(16 * PAGE))
        for asked in (PAGE, 2 * PAGE):
            tracemalloc.start()
            try:
                result = compressor.decompress(data, asked)
            except Exception:
                result = b""
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert len(result) <= asked
            assert peak <= asked + _SLACK, f"{peak} bytes were made for {asked}"

    def test_damage_leaves_nothing_behind(self) -> None:
        compressor, rng = self.opened(), random.Random(3)
        for number in range(100):
            folio = page("mixed", number, 1)
            data = compressor.compress(folio)
            for damaged in _damaged(data, rng):
                with contextlib.suppress(Exception):
                    compressor.decompress(damaged, PAGE)
                assert same(compressor.decompress(data, PAGE), folio)

    def test_threads_share_one(self) -> None:
        compressor = self.opened()
        found = _Found()

        def work(number: int) -> None:
            try:
                for version in range(250):
                    folio = page(KINDS[version % len(KINDS)], number, version)
                    with interleaved(number << 10 | version):
                        back = compressor.decompress(compressor.compress(folio), PAGE)
                    if back != folio:
                        found.wrong.append(f"thread {number}, page {version}")
            except Exception as error:
                found.errors.append(error)

        run_threads(work)
        assert not found.errors
        assert not found.wrong


class CompressorTests(WholePipelineTests, CompressorContract):
    """Proves a compressor: subclass it as `TestYours` and set `plugin`."""


@attrs.define
class _Found:
    wrong: list[str] = attrs.field(factory=list)
    errors: list[Exception] = attrs.field(factory=list)


def _folios(pages: int) -> Iterator[bytes]:
    for kind in KINDS:
        yield b"".join(page(kind, slot, 1) for slot in range(pages))
        yield page(kind, 7, 1) * pages
    yield b"".join(page(KINDS[slot % len(KINDS)], slot, 2) for slot in range(pages))
    yield b"\xff" * pages * PAGE
    real = Path(random.__file__).read_bytes()
    yield (real * (1 + pages * PAGE // len(real)))[: pages * PAGE]


def _damaged(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Objects that the device might give back in this one's place."""
    yield b""
    yield data[: rng.randrange(len(data))] if data else b"\0"
    yield data + rng.randbytes(rng.randrange(1, 40))
    yield rng.randbytes(len(data))
    flipped = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if flipped:
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    yield bytes(flipped)
