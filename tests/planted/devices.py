"""Devices that break one promise each."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Any

from coldpress import Buffer, DeviceError
from coldpress.component import Component
from coldpress.testing import DeviceTests
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.nvme import NvmeDevice


class Kit(DeviceTests):
    def real_bytes(self, device: Any) -> int:
        return int(Path(device.path).stat().st_blocks) * 512


class LosesAWriteBeforeAFlush(FileDevice):
    """Keeps writes until the flush, and then forgets one in fifty."""

    def open(self) -> None:
        super().open()
        self.pending: list[tuple[int, bytes]] = []
        self.count = 0

    def write(self, offset: int, data: Buffer) -> None:
        super().write(offset, b"")
        self._check(offset, memoryview(data))
        self.pending.append((offset, bytes(data)))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.write_out()
        super().read_into(offset, buffer)

    def flush(self) -> None:
        if self.pending:
            self.count += len(self.pending)
            if self.count > 50:
                self.count = 0
                self.pending.pop()
        self.write_out()
        super().flush()

    def write_out(self) -> None:
        pending, self.pending = self.pending, []
        for offset, data in pending:
            super().write(offset, data)


class TearsAWrite(FileDevice):
    """Writes a half of what is longer than a page, one time in twenty."""

    count = 0

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        self._check(offset, view)
        self.count += 1
        super().write(offset, view[: len(view) // 2] if self.count % 20 == 0 else view)


class IgnoresADiscard(FileDevice):
    """Gives nothing back."""

    def discard(self, offset: int, length: int) -> None:
        super().discard(offset, 0 if length > 0 and offset + length <= self.size else length)


class ReturnsStaleBytes(FileDevice):
    """Remembers what it read, and does not notice a write that begins elsewhere."""

    def open(self) -> None:
        super().open()
        self.cache: dict[tuple[int, int], bytes] = {}

    def write(self, offset: int, data: Buffer) -> None:
        super().write(offset, data)
        for key in [key for key in self.cache if key[0] == offset]:
            del self.cache[key]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        super().read_into(offset, buffer)
        known = self.cache.setdefault((offset, buffer.nbytes), bytes(buffer.cast("B")))
        buffer.cast("B")[:] = known


class WritesAtTheWrongOffset(FileDevice):
    """Takes two pages for each other, in reads as in writes: it can not be seen through it."""

    def write(self, offset: int, data: Buffer) -> None:
        super().write(self.elsewhere(offset, memoryview(data).nbytes), data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        super().read_into(self.elsewhere(offset, buffer.nbytes), buffer)

    def elsewhere(self, offset: int, length: int) -> int:
        return offset ^ 4096 if length == 4096 and not offset % 4096 else offset


class KeepsAFileBehind(FileDevice):
    """Empties its file at close, and leaves it there."""

    def close(self) -> None:
        if self._image is not None:
            self._image.created = False
        super().close()


class LeavesADescriptor(FileDevice):
    """Opens something else, too."""

    def open(self) -> None:
        super().open()
        os.dup(self._fd)


class RacesBetweenThreads(FileDevice):
    """Seeks, and then reads or writes: the position is everyone's."""

    def write(self, offset: int, data: Buffer) -> None:
        if self._image is not None and memoryview(data).nbytes == 16384:
            self._check(offset, memoryview(data))
            os.lseek(self._fd, offset, os.SEEK_SET)
            os.write(self._fd, data)
        else:
            super().write(offset, data)


class ChangesItsNeighbours(FileDevice):
    """Reads, changes and writes 16 KiB, whatever another thread writes meanwhile."""

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        self._check(offset, view)
        start = offset & -16384
        end = min(self.size, -(-(offset + len(view)) // 16384) * 16384)
        room = bytearray(end - start)
        self.read_into(start, memoryview(room))
        room[offset - start : offset - start + len(view)] = view
        super().write(start, room)


class NeverFlushes(FileDevice):
    """Keeps in RAM what it was given, and tells a flush that all is well."""

    def open(self) -> None:
        super().open()
        self.room = memoryview(bytearray(self.size))

    def write(self, offset: int, data: Buffer) -> None:
        super().write(offset, b"")
        view = memoryview(data).cast("B")
        self._check(offset, view)
        self.room[offset : offset + len(view)] = view

    def read_into(self, offset: int, buffer: memoryview) -> None:
        super().read_into(offset, buffer)
        buffer.cast("B")[:] = self.room[offset : offset + buffer.nbytes]


class KeepsTheCallersBuffer(FileDevice):
    """Writes later, from memory that is no longer its own."""

    later: tuple[int, Buffer] | None = None
    lock = threading.Lock()

    def write(self, offset: int, data: Buffer) -> None:
        self._check(offset, memoryview(data))
        self.write_out()
        super().write(offset, b"")
        self.later = offset, data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.write_out()
        super().read_into(offset, buffer)

    def flush(self) -> None:
        self.write_out()
        super().flush()

    def write_out(self) -> None:
        with self.lock:
            later, self.later = self.later, None
            if later:
                super().write(*later)


class DiscardsTooMuch(FileDevice):
    """Rounds a discarded range up to whole 16 KiB."""

    def discard(self, offset: int, length: int) -> None:
        super().discard(offset, length)
        if length:
            start = offset & -16384
            super().discard(start, min(self.size, -(-(offset + length) // 16384) * 16384) - start)


class RaisesWhatTheSystemRaises(FileDevice):
    """After close, an error is whatever the system says."""

    def write(self, offset: int, data: Buffer) -> None:
        try:
            super().write(offset, data)
        except DeviceError as error:
            raise OSError("bad file descriptor") from error


class SharesItsFile(FileDevice):
    """Lets a second one in."""

    def open(self) -> None:
        super().open()
        fcntl.flock(self._fd, fcntl.LOCK_UN)


class TakesMoreThanItHas(FileDevice):
    """Does not look where a write ends."""

    def _check(self, offset: int, buffer: memoryview) -> None:
        super()._check(offset, buffer if offset + buffer.nbytes <= self.size else buffer[:0])


class TakesWhatIsNotAligned(NvmeDevice):
    """Reads more than it was asked for where the range is not aligned."""

    def discard(self, offset: int, length: int) -> None:
        if offset >= 0 and length >= 0 and offset + length <= self.size:
            super().discard(offset & -4096, length & -4096)
        else:
            super().discard(offset, length)


FAULTS: dict[type[Component], str] = {
    LosesAWriteBeforeAFlush: "what was written is there before a flush and after",
    TearsAWrite: "what was written is there before a flush and after",
    IgnoresADiscard: "discard gives room back",
    ReturnsStaleBytes: "a write is at its offset and nowhere else",
    WritesAtTheWrongOffset: "a write is at its offset and nowhere else",
    KeepsAFileBehind: "it leaves nothing behind",
    LeavesADescriptor: "it leaves nothing behind",
    RacesBetweenThreads: "threads do not meet",
    ChangesItsNeighbours: "threads side by side do not meet",
    NeverFlushes: "a write is at its offset and nowhere else",
    KeepsTheCallersBuffer: "a write is complete when it returns",
    DiscardsTooMuch: "discard spares the rest",
    RaisesWhatTheSystemRaises: "after close everything but close says so",
    SharesItsFile: "a second one is refused or apart",
    TakesMoreThanItHas: "the last bytes belong to it and the next do not",
    TakesWhatIsNotAligned: "what is not aligned is refused",
}
