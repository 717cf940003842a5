"""Emptying a device, while loads and stores go on."""

from __future__ import annotations

import threading
import time

from coldpress.block import BlockError
from coldpress.blockstore import BlockStore
from coldpress.cleaner import LOW, Cleaner
from coldpress.entries import Entries
from coldpress.errors import DeviceError, DeviceFull, named_block
from coldpress.health import TRIES
from coldpress.locks import Gate, released
from coldpress.moving import Move, Mover
from coldpress.opendevice import OpenDevice
from coldpress.roles.packer import DeviceObject

_WINDOW = 1024  # slots looked at in one hold of the lock
_NAMED = 8  # slots of which an error tells


class _Stopped(Exception):
    """Nobody waits for it any more: the thread that asked for it was interrupted."""


class Drain:
    """Moves all that is live on a device, which takes no more blocks, to the others.

    Block by block, by the records in them; then what is left, because its block has none or they
    are damaged, slot by slot. Clean copies of objects in RAM move like all others.

    When `stop` is set it ends soon, and what has been moved stays where it is.

    Notes: `run` is called once, without the pipeline's lock.
    """

    def __init__(
        self,
        gate: Gate,
        entries: Entries,
        store: BlockStore,
        mover: Mover,
        cleaner: Cleaner,
        one: OpenDevice,
        stop: threading.Event,
    ) -> None:
        self._gate = gate
        self._entries = entries
        self._store = store
        self._mover = mover
        self._cleaner = cleaner
        self._one = one
        self._moved = 0
        self._stop = stop
        self._unreadable: list[tuple[DeviceObject, Exception]] = []

    def run(self) -> int:
        """Empty the device, forget it and close it; how many object bytes were moved.

        Raises `DeviceFull`, `DeviceError`, `PipelineClosed`, and what is left stays on it. If just
        closing it raises, it was forgotten all the same.
        """
        with self._gate.entered():
            try:
                if self._store.space.room < self._one.space.live_bytes:
                    raise self._no_room()  # however well the others were cleaned
                self._empty()
                self._flush_others()
            except DeviceError:
                self._gate.check()  # devices that were closed meanwhile can not be written
                raise
            self._store.space.forget(self._one)
        # A load may still read from it: it finds the object elsewhere when that fails.
        self._one.device.close()
        return self._moved

    def _empty(self) -> None:
        space = self._one.space
        while self._one.writing:  # blocks acquired before: what they hold becomes live
            self._store.space.quiet.wait()
            self._check()
        if self._store.packer.keeps_compressed:
            self._by_block()
        if space.live_bytes:
            self._by_slot()
        if space.live_bytes:
            raise self._left_over()

    def _by_block(self) -> None:
        waiting: list[Move] = []
        for block in self._one.space.used:
            if self._one.space.live(block):
                waiting += self._mover.read(block, unlocked=True)
                self._check()
                self._write_full(waiting)
        self._write_all(waiting)

    def _by_slot(self) -> None:
        one, slots = self._one, self._entries.table.slots
        waiting: list[Move] = []
        for first in range(0, slots, _WINDOW):
            if not one.space.live_bytes:
                return
            window = range(first, min(first + _WINDOW, slots))
            within = self._entries.within(window, one.base, one.end)
            # A folio's slots share an object.
            for offset, (slot, length) in {at: (slot, size) for slot, at, size in within}.items():
                move = self._read(self._store.reference(slot, offset, length))
                if move is not None:
                    waiting.append(move)
                    self._write_full(waiting)
            with released(self._gate.lock):
                time.sleep(0)  # who waits for the lock gets it
            self._check()
        self._write_all(waiting)

    def _read(self, wanted: DeviceObject) -> Move | None:
        """The move of a single object; None if it can not be read, or is not there any more."""
        try:
            with released(self._gate.lock):
                self._store.read(wanted)
        except (BlockError, DeviceError) as error:
            self._check()
            self._unreadable.append((wanted, error))
            return None
        self._check()
        self._store.count_read(wanted)
        return self._mover.of_object(wanted)

    def _write_full(self, waiting: list[Move]) -> None:
        """Write as many of these as fill whole blocks, and take them off the list."""
        while sum(move.victim.length for move in waiting) >= self._store.space.block:
            del waiting[: self._write(waiting)]

    def _write_all(self, waiting: list[Move]) -> None:
        while waiting:
            del waiting[: self._write(waiting)]

    def _write(self, moves: list[Move]) -> int:
        """Write a block of these, to another device; how many it took."""
        for _ in range(TRIES):
            self._make_room()
            moved = self._mover.write(moves, cleaning=False, unlocked=True)
            self._check()
            if moved is not None:
                self._moved += moved.length
                return moved.count
        raise self._failure(f"nothing can be written elsewhere: {self._store.last_error}")

    def _make_room(self) -> None:
        # The last blocks are left to those who store, for as long as cleaning may yet give others.
        while (free := self._store.space.free) < LOW:
            if self._cleaner.busy:
                self._cleaner.done.wait()
            elif not self._cleaner.clean(unlocked=True):
                if free or self._store.space.doubtful:
                    return
                raise self._no_room()
            self._check()

    def _flush_others(self) -> None:
        """What was durable on the device is so elsewhere, before it is closed."""
        for other in self._store.space.members:
            if other is self._one:
                continue
            try:
                with released(self._gate.lock):
                    other.flush()
            except DeviceError:
                if other in self._store.space.members:  # else it was drained and closed itself
                    raise
            self._check()

    def _check(self) -> None:
        """After the lock was let go. Raises `PipelineClosed`, `DeviceFull`, `_Stopped`."""
        self._gate.check()
        if self._stop.is_set():
            raise _Stopped
        if not self._one.draining:
            raise self._no_room()

    def _no_room(self) -> DeviceFull:
        left = self._one.space.live_bytes
        return DeviceFull(
            f"device {self._one.number} can not be drained: {left} bytes on it are in use, and "
            "there is no room for them on the others; add a larger one first"
        )

    def _left_over(self) -> DeviceError:
        one = self._one
        left = [(wanted, error) for wanted, error in self._unreadable if self._is_there(wanted)]
        if not left:
            return self._failure(f"{one.space.live_bytes} bytes on it are in use by no slot")
        named = [
            f"slot {wanted.slot} ({named_block(one.number, one.space.number(wanted.offset))})"
            for wanted, _ in left[:_NAMED]
        ]
        if len(left) > _NAMED:
            named.append(f"{len(left) - _NAMED} more")
        return self._failure(f"can not read {', '.join(named)}: {left[0][1]}")

    def _is_there(self, wanted: DeviceObject) -> bool:
        """Whether the slot's object is still where it was looked up."""
        slots = range(wanted.slot, wanted.slot + 1)
        return any(self._entries.within(slots, wanted.offset, wanted.offset + 1))

    def _failure(self, why: str) -> DeviceError:
        return DeviceError(f"device {self._one.number} can not be drained: {why}")
