"""Writeback: the coldest objects leave the pool for the device, still compressed."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from coldpress.blockstore import BlockStore
from coldpress.budget import PoolBudget
from coldpress.codecs import Codecs
from coldpress.entries import Entries
from coldpress.errors import DeviceError
from coldpress.roles.allocator import Allocator
from coldpress.roles.packer import Packer, Victim


@attrs.define
class WritebackCounters:
    """Kept under the pipeline's lock."""

    pages: int = 0
    clean_drops: int = 0


class _Pressure:
    """Victims from the cold end of the policy. Those with a clean copy are dropped on the way."""

    def __init__(self, entries: Entries, store: BlockStore, counters: WritebackCounters) -> None:
        self._entries = entries
        self._store = store
        self._counters = counters
        self._taken: list[Victim] = []
        self.copy_into = entries.copy_into

    def take(self) -> Victim | None:
        entries = self._entries
        while (slot := entries.policy.evict()) >= 0:
            if not entries.drop_clean(slot):
                victim = entries.victim(slot, self._store.next_sequence())
                self._taken.append(victim)
                return victim
            self._counters.clean_drops += 1
        return None

    def put_back(self, victim: Victim) -> None:
        if self._taken.pop() is not victim:
            raise ValueError("victims are put back in the reverse order of their taking")
        self._entries.policy.restore(victim.slot)

    def put_all_back(self) -> None:
        while self._taken:
            self.put_back(self._taken[-1])


class _Dirty:
    """The objects whose only copy is in RAM, coldest first; the policy keeps them."""

    def __init__(self, entries: Entries, store: BlockStore) -> None:
        self._entries = entries
        self._store = store
        self._slots: Iterator[int] = iter(list(entries.dirty()))
        self._returned: list[Victim] = []
        self.copy_into = entries.copy_into

    def take(self) -> Victim | None:
        if self._returned:
            return self._returned.pop()
        for slot in self._slots:
            return self._entries.victim(slot, self._store.next_sequence())
        return None

    def put_back(self, victim: Victim) -> None:
        self._returned.append(victim)


class Writeback:
    """Moves objects from the pool to the device, block by block.

    `high` and `accept` are bytes of the pool: above `high`, `reclaim` is due, and it goes on
    until `accept`.

    Notes: not thread-safe; the pipeline calls under its lock.
    """

    def __init__(
        self,
        entries: Entries,
        store: BlockStore,
        packer: Packer,
        allocator: Allocator,
        budget: PoolBudget,
        codecs: Codecs,
        high: float,
        accept: float,
    ) -> None:
        self.counters = WritebackCounters()
        self.high = min(int(budget.limit * high), budget.limit - budget.headroom)
        self.accept = min(int(budget.limit * accept), self.high)
        self._entries = entries
        self._store = store
        self._packer = packer
        self._allocator = allocator
        self._budget = budget
        self._codecs = codecs
        self._slack_after_compaction = 0

    def reclaim(self) -> None:
        """Write back the coldest objects until the pool is down to the accept threshold.

        Stops early when nothing is left to write or the device takes no more; a failed write is
        counted, its victims stay in the pool at the cold end, and `store.last_error` tells.
        """
        self._begin()
        try:
            while self._budget.used - self._packer.block > self.accept:
                if not self._write_coldest():
                    break
                self._compact_if_scattered()
        finally:
            self._end()

    def make_room(self) -> bool:
        """The pool refused an object: give something back; False if that can not be done."""
        before = self._budget.used
        self._begin()
        try:
            while self._write_coldest():
                used = self._budget.used - self._packer.block
                if used < before and used <= self.accept:
                    break
        finally:
            self._end()
        return self._budget.used < before or self._allocator.compact() > 0

    def sync(self) -> None:
        """Write every object whose only copy is in RAM, and flush. Raises `DeviceError`."""
        victims = _Dirty(self._entries, self._store)
        self._begin()
        try:
            while True:
                identity = self._store.next_identity()
                packed = self._packer.pack(victims, identity)
                if packed is None:
                    break
                start = self._store.write(packed, identity)
                for victim, at in packed.members:
                    self._entries.synced(victim, start + at)
        finally:
            self._end()
        self._store.flush()

    def _begin(self) -> None:
        # The block buffer is real memory: it counts while it is in use.
        self._budget.stage(self._packer.block)
        self._codecs.begin_writeback()

    def _end(self) -> None:
        self._codecs.end_writeback()
        self._packer.idle()
        self._budget.unstage(self._packer.block)

    def _write_coldest(self) -> bool:
        """One block; False if there is nothing to write or it could not be written."""
        dropped = self.counters.clean_drops
        victims = _Pressure(self._entries, self._store, self.counters)
        if not self._store.has_room():
            # Nothing is packed for a device that is full, but clean copies still give RAM back.
            victims.take()
            victims.put_all_back()
            return self.counters.clean_drops > dropped
        identity = self._store.next_identity()
        packed = self._packer.pack(victims, identity)
        if packed is None:
            return self.counters.clean_drops > dropped
        try:
            start = self._store.write(packed, identity)
        except DeviceError:  # counted, and kept as store.last_error
            victims.put_all_back()
            return self.counters.clean_drops > dropped
        for victim, at in packed.members:
            if self._entries.written_back(victim, start + at):
                self.counters.pages += 1
        return True

    def _compact_if_scattered(self) -> None:
        # Objects leave in the policy's order, which leaves holes in many zspages. Compaction is
        # worth its copying once the holes made since the last one hold an eighth of the limit.
        if self._slack() - self._slack_after_compaction > self._budget.limit >> 3:
            self._allocator.compact()
            self._slack_after_compaction = self._slack()
        else:
            self._slack_after_compaction = min(self._slack_after_compaction, self._slack())

    def _slack(self) -> int:
        return self._budget.used - self._packer.block - self._entries.object_bytes
