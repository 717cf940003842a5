"""`sync` on a persistent device, and the part of it that makes room when blocks run short."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType

from coldpress.cleaner import Cleaner
from coldpress.durable import WORD_BYTES, DurableEntries
from coldpress.durablestore import DurableStore
from coldpress.errors import DeviceError
from coldpress.roles.packer import OpenBlock
from coldpress.tombstones import are_many, drop_tombstones
from coldpress.writeback import Writeback


class Checkpoint:
    """Writes records of all that the slots hold now.

    Notes: every method is called under the pipeline's lock; with `unlocked` that is let go while
    blocks are written and the device is flushed.
    """

    def __init__(
        self,
        writeback: Writeback,
        entries: DurableEntries,
        store: DurableStore,
        cleaner: Cleaner,
        page_size: int,
    ) -> None:
        self._writeback = writeback
        self._entries = entries
        self._store = store
        self._cleaner = cleaner
        self._page_size = page_size
        self._busy = False

    def sync(self, *, unlocked: bool) -> None:
        """Make durable what every slot holds now, or something later. Raises `DeviceError`.

        Nobody else writes blocks meanwhile.
        """
        self._busy = True
        try:
            # These may have changed, but what they hold may be the last that was stored before
            # this.
            self._store.persist(partial(self._writeback.flush_open, unlocked=unlocked))
            if self._entries.unlogged.count:
                # First those that may make room for the others.
                self._write(self._entries.unlogged.from_tail, unlocked=unlocked)
                self._store.settle(unlocked=unlocked)
            self._write(self._entries.owed, unlocked=unlocked)
            self._store.forget_failed(unlocked=unlocked)
            self._store.flush(unlocked=unlocked)
            self._drop_tombstones()
        finally:
            self._busy = False

    def relieve(self, unlocked: bool) -> bool:
        """Free blocks in which everything is superseded, or will be; whether there are any.

        Slots that were emptied get the records that say so: these are small, and what they
        supersede may be large.
        """
        space, entries = self._store.space, self._entries
        free = space.free
        first, self._busy = not self._busy, True
        try:
            # Else the records would take more room than they give.
            if first and entries.unlogged.count and entries.superseded_bytes >= space.block:
                log = _Log(self._writeback, entries, self._page_size, unlocked)
                with log:
                    for slot in list(entries.unlogged.from_tail()):
                        log.add(slot)
                self._drop_tombstones()
            self._store.settle(unlocked=unlocked)
        except DeviceError as error:
            self._store.last_error = error
            return False
        finally:
            self._busy = self._busy and not first
        return space.free > free

    def _drop_tombstones(self) -> None:
        if are_many(self._store, self._entries) and not self._cleaner.busy:
            drop_tombstones(self._store, self._entries, self._page_size)

    def _write(self, slots: Callable[[], Iterable[int]], *, unlocked: bool) -> None:
        """Write what these hold, as often as it takes.

        Which they are is asked each time: a folio that was written before the failure may have made
        others need a record.
        """
        self._store.persist(partial(self._write_once, slots, unlocked=unlocked))

    def _write_once(self, slots: Callable[[], Iterable[int]], *, unlocked: bool) -> None:
        """Write what each of these holds at the moment when its turn comes.

        That is what it held when this began, or later. It may change before its block is written;
        the record is kept all the same, until one of the change was written.
        """
        writeback, entries = self._writeback, self._entries
        turns = deque(slots())
        try:
            with _Log(writeback, entries, self._page_size, unlocked) as log:
                while turns:
                    slot = turns.popleft()
                    while entries.is_dirty(slot) or entries.needs_record(slot):
                        if not entries.is_dirty(slot):
                            log.add(slot)
                            continue
                        victim = writeback.stage_slot(slot, unlocked=unlocked)
                        if victim is not None:
                            # A folio's record covers all its slots, and may be the newest of one
                            # that holds something else by now.
                            turns.extend(one for one in victim.slots if one != slot)
                writeback.write_staged(unlocked=unlocked)
        finally:
            writeback.undo_staged()


class _Log:
    """Blocks of records of slots that have no object. A context: at its end all are written."""

    def __init__(
        self, writeback: Writeback, entries: DurableEntries, page_size: int, unlocked: bool
    ) -> None:
        self._writeback = writeback
        self._entries = entries
        self._page_size = page_size
        self._unlocked = unlocked
        self._block: OpenBlock | None = None

    def add(self, slot: int) -> None:
        """A record of the slot, if it needs one. Raises `DeviceError`."""
        if self._block is not None and not self._block.has_room(WORD_BYTES + self._entries.seal):
            self._write()
        if self._entries.needs_record(slot):  # it may have changed while a block was written
            if self._block is None:
                self._block = self._writeback.staging.log_block(self._page_size)
            self._writeback.stage(self._block, self._entries.word_victim(slot))

    def _write(self) -> None:
        block, self._block = self._block, None
        if block is not None:
            self._writeback.must_write(block, unlocked=self._unlocked, log=True)

    def __enter__(self) -> _Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write()
        elif self._block is not None:
            self._writeback.undo(self._block, restore=False)
