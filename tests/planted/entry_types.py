"""Entry types that break one promise each."""

from __future__ import annotations

from array import array
from typing import Any

from coldpress import EntryContext
from coldpress.codecs import STORED
from coldpress.component import Component
from coldpress.flat import reserve
from coldpress.testing.pages import PAGE
from coldpress_plugins.entry_types.filled import Filled
from coldpress_plugins.entry_types.folio import Folio
from coldpress_plugins.entry_types.packed import Packed
from coldpress_plugins.entry_types.raw import Raw
from coldpress_plugins.entry_types.shadow import Shadow
from coldpress_plugins.entry_types.zswap import Zswap


class LeaksAnObject(Zswap):
    """Forgets to free one object in forty."""

    count = 0

    def release(self, payload: int) -> None:
        self.count += 1
        if self.count % 40:
            super().release(payload)


class AliasesTwoSlots(Zswap):
    """Takes pages that are as long for the same."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self.known: dict[int, int] = {}

    def _store(self, slot: int, codec: int, order: int, data: bytes) -> int:
        if len(data) not in self.known:
            self.known[len(data)] = super()._store(slot, codec, order, data)
        return self.known[len(data)]


class TokenGoesBad(Raw):
    """Gives a window on the page instead of a copy."""

    def fetch(self, slot: int, payload: int) -> Any:
        at = payload * PAGE
        return self._pages.view[at : at + PAGE]

    def decode(self, token: Any) -> bytes:
        return bytes(token)


class ReleasesTwice(Raw):
    """Gives a page back twice, one time in thirty."""

    count = 0

    def release(self, payload: int) -> None:
        super().release(payload)
        self.count += 1
        if self.count % 30 == 0:
            self._pages.release(payload, PAGE)


class KeepsTheCallersBuffer(Filled):
    """Remembers the page that it was shown, not what was in it."""

    takes_all = True

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self.shown: list[memoryview] = []

    def prepare(self, page: memoryview) -> Any | None:
        return page if len(page) == PAGE else None

    def commit(self, slot: int, prepared: Any) -> int:
        self.shown.append(prepared)
        return len(self.shown) - 1

    def fetch(self, slot: int, payload: int) -> Any:
        return bytes(self.shown[payload])

    def decode(self, token: Any) -> bytes:
        return bytes(token)


class DescribesAnotherLength(Zswap):
    """Says that an object is a byte shorter than it is."""

    def describe(self, payload: int) -> tuple[int, int, int]:
        codec, order, length = super().describe(payload)
        return codec, order, max(1, length - 1)


class TakesRoomAndRefuses(Raw):
    """A refusal leaves a page of the budget taken."""

    def commit(self, slot: int, prepared: Any) -> int:
        payload = super().commit(slot, prepared)
        if payload < 0:
            self._budget.used += 8
        return payload

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self._budget = context.budget


class LosesPiecesOfAChain(Zswap):
    """A folio that has no room leaves the pieces that had."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self._objects.free = lambda handle, length: None  # type: ignore[method-assign]


class GrowsForEver(Zswap):
    """Keeps something in Python for each object, and never drops it."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self.log: list[tuple[int, int]] = []

    def fetch(self, slot: int, payload: int) -> tuple[int, bytes, int]:
        return super().fetch(slot, payload)

    def release(self, payload: int) -> None:
        super().release(payload)
        self.log.append((payload, len(self.log)))


class HidesMemory(Zswap):
    """Keeps an object as Python bytes as well, and counts it nowhere."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self.all: dict[int, bytes] = {}

    def _store(self, slot: int, codec: int, order: int, data: bytes) -> int:
        payload = super()._store(slot, codec, order, data)
        if payload >= 0:
            self.all[payload] = data
        return payload

    def release(self, payload: int) -> None:
        super().release(payload)
        del self.all[payload]


class HidesAMapping(Raw):
    """Keeps every page twice, the second time where nobody counts it."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self.second = memoryview(reserve(context.budget.limit))

    def commit(self, slot: int, prepared: Any) -> int:
        payload = super().commit(slot, prepared)
        if payload >= 0:
            self.second[payload * PAGE : (payload + 1) * PAGE] = prepared
        return payload


class SearchesForAnObject(Zswap):
    """Looks through all that it has when one is released."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self.all = array("Q")

    def _store(self, slot: int, codec: int, order: int, data: bytes) -> int:
        payload = super()._store(slot, codec, order, data)
        if payload >= 0:
            self.all.append(payload)
        return payload

    def release(self, payload: int) -> None:
        super().release(payload)
        self.all.remove(payload)


class SharesAScratchPlace(Zswap):
    """What was prepared last is what is committed, whichever thread prepared it."""

    last: Any = None

    def prepare(self, page: memoryview) -> Any | None:
        self.last = super().prepare(page)
        return None if self.last is None else True

    def commit(self, slot: int, prepared: Any) -> int:
        return super().commit(slot, self.last)


class SharesAPlaceForPages(Zswap):
    """What was decoded last is what a load gives, whichever thread's it is."""

    page = b""

    def decode(self, token: Any) -> bytes:
        self.page = super().decode(token)
        return self.page


class SaysNothingOfTheAllocator(Zswap):
    """Its objects are lost when the allocator is replaced."""

    in_allocator = False


class ForgetsTheCodec(Zswap):
    """What it adopts, it takes for stored as it is."""

    def adopt(self, slot: int, codec: int, order: int, data: bytes) -> int:
        return super().adopt(slot, STORED, order, data)


class AdoptsAFolioAsAPage(Raw):
    """Takes a folio's object for a page, if it is as long as one."""

    def adopts(self, codec: int, order: int, length: int) -> bool:
        return codec == STORED and length == PAGE


class AllocatesForSlotZero(Zswap):
    """Does not tell the allocator whose an object is."""

    def _store(self, slot: int, codec: int, order: int, data: bytes) -> int:
        return super()._store(0, codec, order, data)


class LooksAtTheEndsOnly(Filled):
    """Takes a page for filled if it begins as it ends."""

    def prepare(self, page: memoryview) -> Any | None:
        head = page[:8]
        value = int.from_bytes(head, "little")
        return value if head == page[-8:] and value < 1 << 58 else None


class PayloadIsTooLarge(Filled):
    """Keeps more bits than a word has room for."""

    def prepare(self, page: memoryview) -> Any | None:
        word = page[:8].tobytes()
        return int.from_bytes(word, "little") if page == word * (len(page) // 8) else None

    def decode(self, token: int) -> bytes:
        return token.to_bytes(8, "little") * self._words


class TakesNotEveryPage(Raw):
    """Says that it takes every page, and leaves one that is zero."""

    def prepare(self, page: memoryview) -> Any | None:
        return page if any(page[:8]) else None


class TakesAFolioForAPage(Zswap):
    """Says of a folio's word that it is one slot's."""

    def span(self, payload: int) -> int:
        return 1


class OverwritesTheNextPage(Folio):
    """Counts pages from one."""

    def overwrite(self, payload: int, pages: memoryview, at: int = 0) -> None:
        super().overwrite(payload, pages, min(at + 1, self.span(payload) - 1) if at else 0)


class CachesTooMuch(Folio):
    """Does not look at how many pages it may hold."""

    def open(self, context: EntryContext) -> None:
        super().open(context)
        self._most *= 2


class CachesInOtherPlaces(Folio):
    """Never uses the place that was released just before."""

    def release(self, payload: int) -> None:
        super().release(payload)
        free, count = self._extents._free, self._extents._free_count
        if count > 1:
            free[count - 1], free[count - 2] = free[count - 2], free[count - 1]


class LosesALengthsHighBit(Packed):
    """Has fifteen bits for a length that needs sixteen."""

    def place(self, offset: int, length: int) -> int:
        return super().place(offset, (length - 1) % (1 << 15) + 1)


class SeesWithoutMark(Packed):
    """Takes what is far behind for what was read."""

    def seen(self, payload: int) -> bool:
        return super().seen(payload) or self.locate(payload)[0] > 1 << 40


class ForgetsTheTime(Shadow):
    """Keeps sixteen bits of the time."""

    def mark(self, clock: int) -> int:
        return super().mark(clock & 0xFFFF)


class GivesAnEmptyPage(Shadow):
    """An empty slot's page is zero."""

    def fetch(self, slot: int, payload: int) -> Any:
        return bytes(PAGE)

    def decode(self, token: Any) -> Any:
        return token


FAULTS: dict[type[Component], str] = {
    LeaksAnObject: "every page that it claims comes back",
    AliasesTwoSlots: "every page that it claims comes back",
    TokenGoesBad: "a token stays good whatever happens to the slot",
    ReleasesTwice: "every page that it claims comes back",
    KeepsTheCallersBuffer: "every page that it claims comes back",
    DescribesAnotherLength: "every page that it claims comes back",
    TakesRoomAndRefuses: "a full pool is minus one and changes nothing",
    LosesPiecesOfAChain: "every page that it claims comes back",
    GrowsForEver: "thousands of stores leave nothing behind",
    HidesMemory: "pages are not python objects",
    HidesAMapping: "memory is real only while it is counted",
    SearchesForAnObject: "no call costs more among many pages",
    SharesAScratchPlace: "what was refused is committed when there is room",
    SharesAPlaceForPages: "threads prepare and decode at once",
    SaysNothingOfTheAllocator: "it says so if its objects lie in the allocator",
    ForgetsTheCodec: "against a model",
    AdoptsAFolioAsAPage: "any object is adopted as what it is or not",
    AllocatesForSlotZero: "the zspage of an object is its slots too",
    LooksAtTheEndsOnly: "every page that it claims comes back",
    PayloadIsTooLarge: "every page that it claims comes back",
    TakesNotEveryPage: "it takes every page if it says so",
    TakesAFolioForAPage: "folios come back by each of their slots",
    OverwritesTheNextPage: "overwriting changes those pages and no token",
    CachesTooMuch: "cached pages come back and count",
    CachesInOtherPlaces: "as many pages get the payload that was just released",
    LosesALengthsHighBit: "a place is found again",
    SeesWithoutMark: "a place is found again",
    ForgetsTheTime: "a shadow remembers its time and holds no page",
    GivesAnEmptyPage: "a shadow remembers its time and holds no page",
}
