"""The swap cache: pages and folios as they were stored, in front of the pool.

A page that is rewritten while it is there was never compressed. What was used longest ago leaves
for the pool first, compressed by a thread in the background; a store that finds the cache full
compresses something itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import attrs

from coldpress.backpressure import Background, Inline
from coldpress.claims import STALE, Claim, Claims, commit_all
from coldpress.entries import Entries
from coldpress.errors import PipelineClosed, PluginError
from coldpress.locks import Gate, released
from coldpress.roles.packer import Victim
from coldpress.slotlist import SlotList
from coldpress.table import PAYLOAD_AT, TAG_MASK

_LOW = 0.75  # of the cache's pages; the background thread begins above it
_RETRY_SECONDS = 0.05  # after the pool had no room
_BATCH = 8  # folios compressed together: what a turn costs is shared among them


@attrs.define
class _Leaving:
    """A cached folio on its way to the pool: as it was, and what entry types made of it."""

    victim: Victim
    pages: memoryview
    claims: list[Claim] = attrs.field(factory=list)


class CacheOrder:
    """The slots of the cached folios, the one that was used last first."""

    def __init__(self, slots: int) -> None:
        self._list = SlotList(slots)

    def insert(self, slot: int, warm: bool = False) -> None:
        """A folio is in the cache."""
        self._list.push_head(slot)

    def touch(self, slot: int) -> None:
        """It was used; one that is being compressed stays out."""
        if self._list.remove(slot):
            self._list.push_head(slot)

    def remove(self, slot: int) -> None:
        """It has left. An unknown slot is no error."""
        self._list.remove(slot)

    def rename(self, slot: int, new: int) -> None:
        """The folio is known by another of its slots."""
        self._list.rename(slot, new)

    def restore(self, slot: int) -> None:
        """It could not leave: it is the next again."""
        self._list.push_tail(slot)

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of the links."""
        return self._list.metadata_bytes

    def from_coldest(self) -> Iterator[int]:
        """All slots, the one used longest ago first."""
        return self._list.from_tail()


class SwapCache:
    """Holds up to `pages` pages, of which each has its room in the pool's limit.

    Attributes: `pages`; `closed_to_new`, whether stores have to go past it for now; `rewrites`,
    pages that were overwritten here, and so not compressed.

    Notes: every method is called under the pipeline's lock, which is let go while
    pages are compressed, unless writeback is synchronous.
    """

    def __init__(
        self,
        gate: Gate,
        entries: Entries,
        order: CacheOrder,
        claims: Claims,
        backpressure: Inline | Background,
        pages: int,
    ) -> None:
        self.rewrites = 0
        self.closed_to_new = False
        self._gate = gate
        self._entries = entries
        self._type = entries.cache_type
        self._order = order
        self._claims = claims
        self._backpressure = backpressure
        self.pages = pages
        self._low = int(pages * _LOW)
        self._work = threading.Condition(gate.lock)
        self._left = threading.Condition(gate.lock)  # a folio is not being compressed any more
        self._thread: threading.Thread | None = None
        if pages and backpressure.unlocked:
            self._thread = threading.Thread(target=self._run, name="coldpress-cache", daemon=True)
            self._thread.start()

    @property
    def metadata_bytes(self) -> int:
        """Resident bytes of its order."""
        return self._order.metadata_bytes

    def has_place(self, pages: int) -> bool:
        """Whether a folio of so many pages can be here now."""
        return self._type.pages + pages <= self.pages

    def rewrite(self, slot: int, data: memoryview, pages: int) -> bool:
        """Overwrite these pages of a folio that is here; False if none has them all."""
        entries = self._entries
        word = entries.table.get(slot)
        if word & TAG_MASK != entries.cache_tag:
            return False
        if any(entries.table.get(one) != word for one in range(slot + 1, slot + pages)):
            return False
        payload = word >> PAYLOAD_AT
        self._type.overwrite(payload, data, slot % self._type.span(payload))
        # What is being made of the former contents is not wanted any more.
        entries.changed(slot, word)
        known = entries.known_as(slot)
        self._order.remove(known)
        self._order.insert(known)
        self.rewrites += pages
        return True

    def stored(self) -> None:
        """Something was stored: wake the thread if it is time."""
        if self._type.pages > self._low:
            self._work.notify()

    def shrink(self, count: int = _BATCH) -> bool:
        """Compress what was used longest ago, without waiting for room; False if it has none."""
        slots = self._coldest(count)
        return bool(slots) and self._bring(slots, wait=False)

    def squeeze(self) -> bool:
        """`shrink`, by as many as it takes: the room of a few may be too little for a zspage.

        False if that gives no room; what others are compressing is waited for.
        """
        count = _BATCH
        while not self.shrink(count):
            if self._type.pages and not self._coldest(1):
                self._left.wait()
                self._gate.check()
                return True
            if count >= self._type.pages:
                return False
            count *= _BATCH
        return True

    def drain(self) -> bool:
        """Bring all that is here to the pool; False if there is no room for it.

        `closed_to_new` is set meanwhile, so that nothing comes in the place of what leaves.
        """
        entries = self._entries
        here = [(slot, entries.table.get(slot)) for slot in self._order.from_coldest()]
        here += [(one.slot, one.word) for one in entries.staged if self._is_here(one.word)]
        for slot, word in here:
            while members := entries.members(slot, word):  # a folio may leave page by page
                if entries.is_leaving(slot, word):  # if that fails, it is back where it was
                    self._left.wait()
                    self._gate.check()
                elif not self._bring([members[0]], wait=True) and not self.squeeze():
                    return False
        return True

    def close(self) -> None:
        """End the thread; the gate is closed, and the lock is let go until it has ended."""
        self._work.notify_all()
        self._left.notify_all()
        if self._thread is not None:
            with released(self._gate.lock):
                self._thread.join()

    def _coldest(self, count: int) -> list[int]:
        return list(islice(self._order.from_coldest(), count))

    def _is_here(self, word: int) -> bool:
        return word & TAG_MASK == self._entries.cache_tag

    def _bring(self, slots: Sequence[int], *, wait: bool) -> bool:
        """Bring these, which are in order, to the pool; False if there is no room: they stay."""
        backpressure = self._backpressure
        leaving: list[_Leaving] = []
        try:
            for slot in slots:
                self._take(slot, leaving)
            exchange = partial(self._exchange, leaving)
            done = STALE
            while done == STALE:
                with released(self._gate.lock, backpressure.unlocked):
                    for one in leaving:
                        one.claims = self._claims.folio(one.victim.slot, one.pages)
                self._gate.check()
                done = exchange()
                if done < 0 and wait:
                    done = backpressure.wait_for_room(exchange)
            if done >= 0:
                backpressure.given_back()
            return done >= 0
        finally:
            for one in reversed(leaving):
                members = self._entries.unstage(one.victim)
                if members:
                    self._order.restore(members[0])
            self._left.notify_all()

    def _take(self, slot: int, leaving: list[_Leaving]) -> None:
        """Copy a folio, which may fail, and then take it out of its order."""
        word = self._entries.table.get(slot)
        span = self._type.span(word >> PAYLOAD_AT)
        victim = Victim(slot & -span, word, 0, span.bit_length() - 1, 0, 0)
        leaving.append(_Leaving(victim, memoryview(self._type.fetch(slot, word >> PAYLOAD_AT))))
        self._order.remove(slot)
        self._entries.stage(victim)

    def _exchange(self, leaving: Sequence[_Leaving]) -> int:
        """Put into the pool what was compressed and is still good; -1 if there is no room for any.

        Their room goes to what was made of them. Else a full pool could not even shrink. STALE if
        it has to be made once more.
        """
        good = [one for one in leaving if self._entries.is_staged(one.victim)]
        if not all(self._claims.are_good(one.claims) for one in good):
            return STALE
        wanted = [self._wanted(one) for one in good]
        for one in good:
            self._type.release(one.victim.word >> PAYLOAD_AT)
        done = -1
        try:
            done = commit_all([claim for claims in wanted for claim in claims])
        finally:
            if done < 0:
                self._put_back(good)
        if done < 0 and len(good) > 1:
            return max(self._exchange([one]) for one in good)
        if done < 0:
            return 0 if self._one_by_one(good[0]) else -1
        for one, claims in zip(good, wanted, strict=True):
            for claim in claims:
                slots = self._members(one) if claim.pages > 1 else [claim.slot]
                self._entries.compressed(slots, one.victim.word, claim.tag, claim.payload)
        return 0

    def _one_by_one(self, one: _Leaving) -> int:
        """Bring those pages of a folio for which there is room, if it is not one object.

        Returns how many. Others stay, with the folio's room.
        """
        claims = self._wanted(one) if len(one.claims) > 1 else []
        for number, claim in enumerate(claims):
            if commit_all([claim]) < 0:
                return number
            self._entries.compressed([claim.slot], one.victim.word, claim.tag, claim.payload)
        if claims:
            self._type.release(one.victim.word >> PAYLOAD_AT)
        return len(claims)

    def _wanted(self, one: _Leaving) -> list[Claim]:
        """The claims of the slots that are still the folio's."""
        members = self._members(one)
        return [claim for claim in one.claims if claim.pages > 1 or claim.slot in members]

    def _members(self, one: _Leaving) -> Sequence[int]:
        return self._entries.members(one.victim.slot, one.victim.word)

    def _put_back(self, good: Sequence[_Leaving]) -> None:
        # In reverse, so that each finds its own place, given back last, on top.
        for one in reversed(good):
            if self._type.commit(one.victim.slot, one.pages) != one.victim.word >> PAYLOAD_AT:
                raise PluginError(f"entry type {self._type.name!r} lost a place it had given back")

    def _run(self) -> None:
        with self._gate.lock:
            while not self._gate.closed:
                slots = self._coldest(_BATCH)
                if not slots or self._type.pages <= self._low:
                    self._work.wait()
                    continue
                try:
                    brought = self._bring(slots, wait=True)
                except PipelineClosed:
                    return
                except Exception:  # a plugin's: a store or a sync that needs room meets it, too
                    brought = False
                if not brought and not self._gate.closed:
                    self._work.wait(_RETRY_SECONDS)
