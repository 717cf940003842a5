"""Writeback: the coldest objects leave the pool for the device, still compressed.

A block goes through four steps. *Select*, under the pipeline's lock: victims are taken off the
policy, their compressed bytes copied into an open block. *Seal*, without the lock: checksums and
header. *Write*, without the lock: one I/O. *Publish*, under the lock: each slot that has not
changed meanwhile gets its place on the device, and its RAM is freed. Until then the object in RAM
serves every load; after a failed write it simply goes back to the policy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import attrs

from coldpress.blockstore import BlockStore
from coldpress.budget import PoolBudget
from coldpress.cleaner import LOW, Cleaner
from coldpress.codecs import Codecs
from coldpress.entries import Entries
from coldpress.errors import DeviceError
from coldpress.health import TRIES
from coldpress.layout import RESERVE_BLOCKS
from coldpress.locks import released
from coldpress.pools import Pools
from coldpress.ranks import Ranks
from coldpress.roles.allocator import Zspage
from coldpress.roles.packer import OpenBlock, Victim
from coldpress.staging import Staging

Around = Callable[[], AbstractContextManager[object]]


@attrs.define
class WritebackCounters:
    """Kept under the pipeline's lock."""

    pages: int = 0
    clean_drops: int = 0
    decompressions: int = 0
    lost_races: int = 0


class _Objects:
    """What one block may do with its victims; counts what it decompresses."""

    def __init__(self, entries: Entries, codecs: Codecs) -> None:
        self.copy_into = entries.copy_into
        self.decodes = 0
        self._decode = codecs.decode

    def decode(self, codec: int, data: bytes, size: int) -> bytes:
        self.decodes += 1
        return self._decode(codec, data, size)


class Writeback:
    """Moves objects from the pool to the device, block by block.

    `high` and `accept` are bytes of the pool: above `high` writeback is due, and it goes on until
    `accept`. The shares that they are given as are of what the swap cache's `cache_pages` leave:
    writeback can not give those back.

    Attributes: `leaving`, object bytes in blocks that are being written; `ranks`, whether victims
    were the oldest; `relieve`, a call that frees blocks in another way than by cleaning, if it can.

    Notes: every method is called under the pipeline's lock. With `unlocked` that lock is let go
    while a block is sealed and written, and any number of threads may each write a block.
    """

    def __init__(
        self,
        entries: Entries,
        store: BlockStore,
        pools: Pools,
        budget: PoolBudget,
        codecs: Codecs,
        cleaner: Cleaner,
        lock: threading.Lock,
        page_size: int,
        high: float,
        accept: float,
        cache_pages: int,
        around: Around = nullcontext,
    ) -> None:
        self.counters = WritebackCounters()
        self.staging = Staging(store.packer, budget)
        self.leaving = 0
        self._entries = entries
        self._store = store
        self._pools = pools
        self._budget = budget
        self._codecs = codecs
        self._cleaner = cleaner
        self._lock = lock
        self._page_size = page_size
        self._around = around
        self.ranks = Ranks(entries.policy)
        self._slack_after_compaction = 0
        self.relieve: Callable[[bool], bool] = lambda unlocked: False
        self._shares = (high, accept)
        self._cached = cache_pages * page_size
        self.set_marks()

    def set_marks(self) -> None:
        """`high` and `accept` for the present allocator and packer."""
        high, accept = self._shares
        budget = self._budget
        # In a small pool what is set aside for blocks is more than the share above `high`:
        # writeback begins early enough all the same that one more object finds room.
        grant = self._pools.current.allocator.largest_grant(self._page_size)
        usable = budget.limit - self.staging.bytes - grant
        room = budget.limit - self._cached
        self.high = max(0, min(self._cached + int(room * high), usable))
        self.accept = max(0, self.high - int(room * (high - accept)))

    @property
    def progress(self) -> int:
        """A number that changes whenever something was given back or written."""
        counters = self.counters
        return counters.pages + counters.clean_drops + counters.lost_races

    @property
    def failures(self) -> int:
        """How many writes in a row have failed."""
        return self._store.failures

    @property
    def due(self) -> bool:
        """Whether the pool is above the high watermark."""
        return self._budget.pressure - self.leaving > self.high

    @property
    def wanted(self) -> bool:
        """Whether the pool is still above the accept threshold."""
        return self._budget.pressure - self.leaving > self.accept

    def reclaim(self) -> None:
        """Write back the coldest objects, one block after the other, down to the threshold.

        Stops early when nothing is left to write or the device takes no more; a failed write is
        counted, its victims stay in the pool at the cold end, and `store.last_error` tells.
        """
        with self._around():
            while self.wanted:
                block = self.next_block(self.accept)
                if block is None or not self.write(block):
                    break
            self.tidy()

    def make_room(self) -> bool:
        """The pool refused an object: give something back; False if that can not be done."""
        before = self._budget.pressure
        with self._around():
            target = min(before - 1, self.accept)
            failures = 0
            while self._budget.pressure > target and failures < TRIES:
                block = self.next_block(target)
                if block is None:
                    break
                failures += not self.write(block)
            self.tidy()
        return self._budget.pressure < before or self.compact()

    def compact(self) -> bool:
        """Move the pool's objects together; whether that gave anything back."""
        return self._pools.compact() > 0

    def select(self, target: int) -> OpenBlock | None:
        """Stage the coldest objects until a block has to be written, and return that.

        None if nothing is left to stage, no buffer or no block of the device is free, or the pool
        came down to `target` bytes by dropping objects whose device copy is still good.
        """
        entries, policy = self._entries, self._entries.policy
        while (coldest := policy.coldest()) >= 0:
            slot = policy.evict()
            if pages := entries.drop_clean(slot):
                self.counters.clean_drops += pages
                if self._budget.pressure - self.leaving <= target:
                    return None
                continue
            if not self._store.has_room():
                policy.restore(slot)
                self._drop_clean_only(target)
                return None
            victim = entries.victim(slot, self._store.next_sequence())
            block, done = self.staging.block_for(victim.length)
            if block is None:
                policy.restore(slot)
                return done
            zspage = entries.zspage(victim) if self._store.packer.whole_zspages else None
            if zspage is not None:
                block.like(zspage)
            self.stage(block, victim)
            self.ranks.selected(slot, coldest)
            if self._store.packer.whole_zspages:
                self._stage_companions(block, victim, zspage)
                return self.staging.oldest()
        return None

    def _stage_companions(self, block: OpenBlock, first: Victim, zspage: Zspage | None) -> None:
        entries = self._entries
        for owner in zspage.owners if zspage else ():
            slot = entries.companion(owner, zspage.number, first) if zspage else -1
            if slot < 0:
                continue  # the victim itself, or something that has a copy on the device
            victim = entries.victim(slot, self._store.next_sequence())
            if not block.has_room(victim.length):
                continue
            coldest = entries.policy.coldest()
            known = entries.known_as(slot)
            entries.policy.remove(known)
            self.stage(block, victim)
            self.ranks.selected(known, coldest)

    def _drop_clean_only(self, target: int) -> None:
        """With a full device, what has a copy there can still leave, however warm it is."""
        passed = []
        while self._entries.clean and self._budget.pressure - self.leaving > target:
            slot = self._entries.policy.evict()
            if slot < 0:
                break
            if pages := self._entries.drop_clean(slot):
                self.counters.clean_drops += pages
            else:
                passed.append(slot)
        for slot in reversed(passed):
            self._entries.policy.restore(slot)

    def next_block(self, target: int, *, unlocked: bool = False) -> OpenBlock | None:
        """`select`, and with nothing left to select, what is staged, to be written short.

        Before the device is full, its mostly dead blocks are cleaned.
        """
        self._clean_if_due(unlocked)
        block = self.select(target)
        if block is None and self._entries.policy.coldest() < 0:
            block = self.staging.oldest()
        return block

    def write(
        self, block: OpenBlock, *, keep: bool = False, unlocked: bool = False, log: bool = False
    ) -> bool:
        """Write a closed block and publish what is in it; False if it could not be written.

        `keep`: the objects stay in RAM, the device's copies are clean ones. `log`: it is one of
        those that some blocks of a persistent device are kept for.
        """
        if not any(map(self._entries.is_wanted, block.victims)):
            self.staging.give_back(block)  # every slot in it has changed: nothing to write
            self.counters.lost_races += len(block.victims)
            return True
        self._clean_if_due(unlocked)
        start = self._acquire(log)
        if start < 0:
            self.undo(block, restore=not (keep or log))
            return False
        identity = self._store.next_identity(start)
        objects = _Objects(self._entries, self._codecs)
        length = sum(victim.length - self._entries.seal for victim in block.victims)
        self.leaving += length
        try:
            with released(self._lock, unlocked):
                packed = self._store.seal(block, identity, objects)
                self._store.put(start, packed)
        except BaseException as error:
            self._store.failed(start, error, "sealing a block")
            self.undo(block, restore=not (keep or log))
            if isinstance(error, DeviceError):
                return False
            raise  # a plugin's fault, or Ctrl-C; the victims are where they were
        finally:
            self.leaving -= length
            self.counters.decompressions += objects.decodes
        self._store.written(start, packed, identity)
        for placed in packed.members:
            if keep or log:
                self._entries.synced(placed, start)
            elif pages := self._entries.written_back(placed, start):
                self.counters.pages += pages
            else:
                self.counters.lost_races += 1
        self.staging.give_back(block)
        self._pools.reap()
        self._compact_if_scattered()
        return True

    def tidy(self) -> None:
        """After a round: give idle buffers back to the system."""
        if self.staging.idle:
            self.staging.trim()

    def empty_staging(self) -> None:
        """Take what is in blocks that are not full yet out of them: it is in the pool all along."""
        blocks = self.staging.take_open()
        victims = [victim for block in blocks for victim in block.victims]
        for victim in sorted(victims, key=lambda one: one.sequence, reverse=True):
            self._entries.not_written(victim, restore=True)
        for block in blocks:
            self.staging.give_back(block)
        self.tidy()

    def flush_open(self, *, unlocked: bool = False) -> None:
        """Write the blocks that are not full yet. Raises `DeviceError` if one can not be."""
        while (block := self.staging.oldest()) is not None:
            self.must_write(block, unlocked=unlocked)

    def write_dirty(self, *, unlocked: bool = False) -> None:
        """Write all objects whose only copy is in RAM, where they stay. Raises `DeviceError`."""
        try:
            for slot in list(self._entries.dirty()):
                while self._entries.is_dirty(slot):
                    self.stage_slot(slot, unlocked=unlocked)
            self.write_staged(unlocked=unlocked)
        finally:
            self.undo_staged()

    def stage_slot(self, slot: int, *, unlocked: bool) -> Victim | None:
        """Stage a dirty object, which stays in RAM, or write a block to make room for that.

        What was staged; None if it was not yet. Raises `DeviceError`.
        """
        victim = self._entries.victim(slot, self._store.next_sequence())
        block, done = self.staging.block_for(victim.length)
        if done is not None:
            self.must_write(done, keep=True, unlocked=unlocked)
        elif block is not None:
            self.stage(block, victim)
            return victim
        return None

    def write_staged(self, *, unlocked: bool) -> None:
        """Write what `stage_slot` has staged. Raises `DeviceError`."""
        while (done := self.staging.oldest()) is not None:
            self.must_write(done, keep=True, unlocked=unlocked)

    def undo_staged(self) -> None:
        """What `stage_slot` has staged and was not written is as it was before."""
        while (left := self.staging.oldest()) is not None:
            self.undo(left, restore=False)
        self.tidy()

    def _clean_if_due(self, unlocked: bool) -> None:
        # As late as possible: the longer a block waits, the more of it is dead.
        while self._store.space.free < LOW and (
            self.relieve(unlocked) or self._cleaner.clean(unlocked=unlocked)
        ):
            pass

    def _acquire(self, log: bool) -> int:
        """The offset of a block to write, or -1."""
        space = self._store.space
        if self._store.has_room():
            return space.acquire()
        if log and space.unused > RESERVE_BLOCKS:
            return space.acquire(reserve=True)
        return -1

    def must_write(
        self, block: OpenBlock, *, keep: bool = False, unlocked: bool = False, log: bool = False
    ) -> None:
        """`write`, and if that can not be, `DeviceError`."""
        if not self.write(block, keep=keep, unlocked=unlocked, log=log):
            raise self._store.last_error or DeviceError("a block could not be written")

    def stage(self, block: OpenBlock, victim: Victim) -> None:
        block.add(victim, _Objects(self._entries, self._codecs))
        self._entries.stage(victim)

    def undo(self, block: OpenBlock, *, restore: bool) -> None:
        # In reverse, so that each is the very next victim before those that were colder.
        for victim in reversed(block.victims):
            self._entries.not_written(victim, restore=restore)
        self.staging.give_back(block)

    def _compact_if_scattered(self) -> None:
        # Objects leave in the policy's order, which leaves holes in many zspages. Compaction is
        # worth its copying once the holes made since the last one hold an eighth of the limit.
        if self._slack() - self._slack_after_compaction > self._budget.limit >> 3:
            self._pools.compact()
            self._slack_after_compaction = self._slack()
        else:
            self._slack_after_compaction = min(self._slack_after_compaction, self._slack())

    def _slack(self) -> int:
        cached = self._entries.cache_type.pages * self._page_size
        return self._budget.pressure - cached - self._entries.object_bytes
