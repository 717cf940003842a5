"""A device that may lose what was not flushed, as with the power or the process."""

from __future__ import annotations

import random
import threading
from typing import Any, Literal

import attrs

from coldpress.bounds import check_range
from coldpress.component import Buffer
from coldpress.errors import DeviceError
from coldpress.roles.device import Device
from coldpress.units import Size

SECTOR = 512
"""Bytes that are written whole or not at all."""

Loss = Literal["power", "process"]
"""What is lost. With the power, of what was written since the last flush any part may be missing,
in any order. With the process only the rest of the one write that was under way: the system goes
on."""


@attrs.frozen
class _Event:
    """A write of `data`; a discard, if it is `None`; or a flush, if the length is 0."""

    offset: int = 0
    length: int = 0
    data: bytes | None = None


class Medium:
    """The bytes that outlive a device, and everything that was done to them since they were
    `image`.

    Attributes: `events`, how many writes, discards and flushes there were; `flaky`, if given, lets
    one write in twenty fail, and leave any part of its first bytes.

    Notes: thread-safe, but for `after_crash`, which is for when nothing goes on any more.
    """

    def __init__(self, image: Buffer) -> None:
        self.flaky: random.Random | None = None
        self._lock = threading.Lock()
        self._image = bytes(image)
        self._now = bytearray(image)
        self._log: list[_Event] = []

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return len(self._image)

    @property
    def events(self) -> int:
        return len(self._log)

    def read(self, offset: int, length: int) -> bytes:
        """What was written there last, or is there since the beginning."""
        with self._lock:
            return bytes(self._now[offset : offset + length])

    def write(self, offset: int, data: Buffer) -> None:
        """A write, that is not durable before the next flush. Raises `DeviceError` if it fails."""
        with self._lock:
            if self.flaky is not None and self.flaky.random() < 0.05:
                data = bytes(data[: self.flaky.randrange(len(data) + 1)])
                self._now[offset : offset + len(data)] = data
                self._log.append(_Event(offset, len(data), data))
                raise DeviceError(f"crash: the write at {offset} failed, as one in twenty does")
            self._now[offset : offset + len(data)] = data
            self._log.append(_Event(offset, len(data), bytes(data)))

    def discard(self, offset: int, length: int) -> None:
        """What is there reads as zeros from now on, or perhaps does after a crash."""
        with self._lock:
            self._now[offset : offset + length] = bytes(length)
            self._log.append(_Event(offset, length))

    def flush(self) -> None:
        """What was written before is durable."""
        with self._lock:
            self._log.append(_Event())

    def after_crash(self, event: int, loss: Loss, rng: random.Random) -> bytearray:
        """What is left if it comes during the event of this number, 0 the first."""
        done = self._log[:event]
        durable = event if loss == "process" else self._last_flush(event)
        image = bytearray(self._image)
        for one in done[:durable]:
            _apply(image, one)
        lost = done[durable:]
        if rng.random() < 0.5:
            rng.shuffle(lost)
        for one in lost + self._log[event : event + 1]:
            _apply_part(image, one, rng, in_order=loss == "process")
        return image

    def _last_flush(self, event: int) -> int:
        return max((n for n in range(event) if not self._log[n].length), default=0)


def _apply(image: bytearray, one: _Event) -> None:
    image[one.offset : one.offset + one.length] = one.data or bytes(one.length)


def _apply_part(image: bytearray, one: _Event, rng: random.Random, *, in_order: bool) -> None:
    """Nothing of it, all of it, or some of its sectors."""
    fate = rng.random()
    if fate < 0.3 or not one.length:
        return
    if fate < 0.6:
        _apply(image, one)
        return
    cut = rng.randrange(one.length)
    data = one.data or bytes(one.length)
    for at in range(0, one.length, SECTOR):
        if at < cut if in_order else rng.random() < 0.5:
            end = min(at + SECTOR, one.length)
            image[one.offset + at : one.offset + end] = data[at:end]


@attrs.define(slots=False, eq=False, kw_only=True)
class CrashDevice(Device):
    """A device over a `Medium`, which stays what it is when the device is closed.

    Notes: as thread-safe as the medium.
    """

    name = "crash"
    _medium: Medium | None = attrs.field(init=False, default=None)
    _is_open: bool = attrs.field(init=False, default=False)

    @classmethod
    def over(cls, medium: Medium, **options: Any) -> CrashDevice:
        """A persistent device with all of the medium, and with these options."""
        one = cls(size=Size(medium.size), persistent=True, **options)
        one._medium = medium
        return one

    def why_forgetful(self) -> str | None:
        return None

    def open(self) -> None:
        if self._medium is None:
            self._medium = Medium(bytes(self.size))
        self._is_open = True

    @property
    def alignment(self) -> int:
        return 1

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer.cast("B")[:] = self._opened(offset, buffer.nbytes).read(offset, buffer.nbytes)

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        self._opened(offset, len(view)).write(offset, view)

    def discard(self, offset: int, length: int) -> None:
        self._opened(offset, length).discard(offset, length)

    def flush(self) -> None:
        self._opened().flush()

    def close(self) -> None:
        self._is_open = False

    def _opened(self, offset: int = 0, length: int = 0) -> Medium:
        """The medium, which has this range."""
        if self._medium is None or not self._is_open:
            raise DeviceError("crash: device is closed")
        check_range(offset, length, self._medium.size)
        return self._medium
