"""Compressors with one fault each."""

from __future__ import annotations

import lz4.block

from coldpress import Buffer
from coldpress.component import Component
from coldpress_plugins.compressors.lz4 import Lz4
from coldpress_plugins.compressors.none import NoCompression


class FlipsAByteNowAndThen(Lz4):
    """One page in a thousand comes back with a wrong byte."""

    def open(self) -> None:
        self._pages = 0

    def decompress(self, data: Buffer, size: int) -> bytes:
        page = bytearray(super().decompress(data, size))
        self._pages += 1
        if self._pages % 1000 == 0:
            page[size // 2] ^= 1
        return bytes(page)


class ReturnsMoreThanAsked(NoCompression):
    """What is longer than a page comes back as long as it is."""

    def decompress(self, data: Buffer, size: int) -> bytes:
        return bytes(data)


class MakesMoreThanAsked(Lz4):
    """Decompresses all that the object stands for, and cuts it then."""

    def decompress(self, data: Buffer, size: int) -> bytes:
        return super().decompress(data, max(size, 4 << 20))[:size]


class ClearsItsInput(Lz4):
    """Takes what it was given for its own scratch space."""

    def decompress(self, data: Buffer, size: int) -> bytes:
        page = super().decompress(data, size)
        view = memoryview(data)
        if not view.readonly:
            view[-1] = 0
        return page


class NeedsThePageBefore(NoCompression):
    """Each object is encoded by how many came before it, which the reader must know too."""

    def open(self) -> None:
        self._key = 0

    def compress(self, page: Buffer) -> bytes:
        self._key = (self._key + 1) & 255
        return self._masked(page)

    def decompress(self, data: Buffer, size: int) -> bytes:
        return self._masked(super().decompress(data, size))

    def _masked(self, data: Buffer) -> bytes:
        return bytes(data).translate(bytes(byte ^ self._key for byte in range(256)))


class KeepsThePageInAField(Lz4):
    """Threads meet in one field, while the library has let go of the interpreter's lock."""

    def compress(self, page: Buffer) -> bytes:
        self._page = bytes(page)
        if len(super().compress(page)) < len(page):
            return super().compress(self._page)
        return super().compress(page)


class KeepsThePageForAMoment(NoCompression):
    """Threads meet in one field, though none of its calls lets go of the interpreter's lock."""

    def compress(self, page: Buffer) -> bytes:
        self._page = bytes(page)
        return self._page


class ReturnsItsInput(NoCompression):
    """What it returns is the caller's buffer."""

    def compress(self, page: Buffer) -> bytes:
        return memoryview(page)  # type: ignore[return-value]


class StumblesAfterDamage(Lz4):
    """An object that can not be read spoils the next one."""

    def open(self) -> None:
        self._spoiled = False

    def decompress(self, data: Buffer, size: int) -> bytes:
        spoiled, self._spoiled = self._spoiled, True
        page = super().decompress(data, size)
        self._spoiled = False
        return bytes(size) if spoiled else page


class DropsAHalfPage(Lz4):
    """Of a folio's last page the second half is forgotten, if it is the largest folio."""

    def compress(self, page: Buffer) -> bytes:
        if len(page) < 16 * 4096:
            return super().compress(page)
        return lz4.block.compress(bytes(page[:-2048]) + bytes(2048), store_size=False)


FAULTS: dict[type[Component], str] = {
    FlipsAByteNowAndThen: "thousands of pages come back",
    ReturnsMoreThanAsked: "damaged objects are errors or as long as was asked",
    MakesMoreThanAsked: "an object of more pages makes no more bytes than asked",
    ClearsItsInput: "any bytes like is taken and nothing of it changed",
    NeedsThePageBefore: "each object stands alone",
    KeepsThePageInAField: "threads share one",
    KeepsThePageForAMoment: "threads share one",
    ReturnsItsInput: "folios of every size and kind come back",
    StumblesAfterDamage: "damage leaves nothing behind",
    DropsAHalfPage: "folios of every size and kind come back",
}
