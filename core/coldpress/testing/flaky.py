"""A device whose calls fail, are cut short or late, by chance or as planned."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections import Counter
from typing import Any, Literal, get_args

import attrs

from coldpress.component import Buffer, option
from coldpress.errors import DeviceError, DeviceFull
from coldpress.testing.chances import chance
from coldpress.testing.wrapped import WrappedDevice

Operation = Literal["read", "write", "flush"]
Fault = Literal["eio", "enospc", "short", "delay"]
"""Nothing moves: an I/O error, or no space left. Only a first part moves. All is well, but late."""

_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
_FAULTS: dict[Operation, tuple[Fault, ...]] = {
    "read": ("eio", "short", "delay"),
    "write": ("eio", "enospc", "short", "delay"),
    "flush": ("eio", "delay"),
}


def _parse(text: str) -> tuple[Operation, int, Fault]:
    """What "write 3 short" says. Raises `ValueError`."""
    for operation in _OPERATIONS:
        for fault in _FAULTS[operation]:
            words = text.split()
            if (words[:1], words[2:]) == ([operation], [fault]) and words[1].isdecimal():
                return operation, int(words[1]), fault
    raise ValueError(f'must be like "write 3 short", got {text!r}')


def _plans(instance: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for text in value:
        _parse(text)


@attrs.define(slots=False, eq=False, kw_only=True)
class FlakyDevice(WrappedDevice):
    """Fails now and then: errors, no space left, calls cut short or late, or all of it away.

    What fails raises `DeviceError` or `DeviceFull`. Of a write that is cut short a first part is on
    the medium, of a read in the buffer; of any other that fails, nothing. A flush that fails does
    nothing, and the next one has all to do. `open` fails only while the device is away, `close` and
    hints never.

    Attributes:
        seed: config key; of the chances.
        read_eio, read_short, write_eio, write_enospc, write_short, flush_eio: config keys; which
            share of the calls ends so.
        late: config key; share of the calls that take `delay` longer.
        delay: config key; seconds.
        planned: config key; faults of chosen calls, counted from 1 on since it was made: "read 7
            eio", "write 3 short", "write 5 enospc", "flush 1 delay".
        faults: how many there were, by (operation, fault), such as ("read", "eio").

    Notes: thread-safe. The chances are taken in the order of the calls, so what one thread meets is
    the same each time.
    """

    name = "flaky"
    queue_depth = 4  # for `load_many` to read with several threads

    seed: int = option(default=0, help="of the chances: the same calls meet the same faults")
    read_eio: float = chance("reads that fail with an I/O error")
    read_short: float = chance("reads that give a first part and then fail")
    write_eio: float = chance("writes that fail with an I/O error, nothing being written")
    write_enospc: float = chance("writes that find no space left")
    write_short: float = chance("writes of which only a first part lands, and which then fail")
    flush_eio: float = chance("flushes that fail with an I/O error")
    late: float = chance("reads, writes and flushes that are late")
    delay: float = option(
        default=0.001,
        help="seconds that a late call takes longer",
        validator=attrs.validators.ge(0),
    )
    planned: tuple[str, ...] = option(
        default=(), help='faults of chosen calls, like "write 3 short"', validator=_plans
    )
    faults: Counter[tuple[Operation, str]] = attrs.field(init=False, factory=Counter)

    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)
    _chances: random.Random = attrs.field(init=False)
    _calls: Counter[Operation] = attrs.field(init=False, factory=Counter)
    _plan: dict[tuple[Operation, int], Fault] = attrs.field(init=False, factory=dict)
    _bad: list[range] = attrs.field(init=False, factory=list)
    _is_away: bool = attrs.field(init=False, default=False)

    @_chances.default
    def _seeded(self) -> random.Random:
        return random.Random(self.seed)

    def __attrs_post_init__(self) -> None:
        for operation, number, fault in map(_parse, self.planned):
            self._plan[operation, number] = fault

    # -- what a test asks for ---------------------------------------------------------------

    def plan(self, operation: Operation, fault: Fault, number: int = 1) -> None:
        """The call of this kind that comes after `number` - 1 others meets this fault."""
        with self._lock:
            self._plan[operation, self._calls[operation] + number] = fault

    def go_bad(self, offset: int, length: int) -> None:
        """From now on each read and write that touches this range fails."""
        with self._lock:
            self._bad.append(range(offset, offset + length))

    def away(self) -> None:
        """The cable is out: until it is `back`, every call but `close` fails."""
        self._is_away = True

    def back(self) -> None:
        """It is there again, with all that was written."""
        self._is_away = False

    # -- the device -------------------------------------------------------------------------

    def open(self) -> None:
        if self._is_away:
            raise DeviceError("flaky: can not open: the device is away")
        super().open()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        what = f"read of {buffer.nbytes} bytes at offset {offset}"
        if self._meets("read", what, offset, buffer.nbytes) != "short":
            super().read_into(offset, buffer)
            return
        part = self._part(buffer.nbytes)
        super().read_into(offset, buffer.cast("B")[:part])
        raise DeviceError(f"flaky: {what} ended after {part}")

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data)
        what = f"write of {view.nbytes} bytes at offset {offset}"
        if self._meets("write", what, offset, view.nbytes) != "short":
            super().write(offset, data)
            return
        part = self._part(view.nbytes)
        super().write(offset, view.cast("B")[:part])
        raise DeviceError(f"flaky: {what} ended after {part}")

    def discard(self, offset: int, length: int) -> None:
        if not self._is_away or not self._is_open:
            super().discard(offset, length)

    def flush(self) -> None:
        self._meets("flush", "flush")
        super().flush()

    def _meets(
        self, operation: Operation, what: str, offset: int = 0, length: int = 0
    ) -> Fault | None:
        """The fault of this call, if there is one; raises it if nothing is moved.

        A call that is the caller's mistake, or comes after `close`, meets none.
        """
        if not self.has(offset, length):
            return None
        with self._lock:
            fault = self._next(operation)
            touches = any(offset < bad.stop and bad.start < offset + length for bad in self._bad)
            if self._is_away or touches:
                fault = "eio"
            if fault is not None:
                self.faults[operation, fault] += 1
        if fault == "eio":
            why = "the device is away" if self._is_away else os.strerror(errno.EIO)
            raise DeviceError(f"flaky: {what} failed: {why}")
        if fault == "enospc":
            raise DeviceFull(f"flaky: {what} failed: {os.strerror(errno.ENOSPC)}")
        if fault == "delay":
            time.sleep(self.delay)
        return fault

    def _next(self, operation: Operation) -> Fault | None:
        """What the next call of this kind meets, by plan or by chance."""
        self._calls[operation] += 1
        planned = self._plan.pop((operation, self._calls[operation]), None)
        # One number for each of them, whatever the rates are: what the others meet does not change.
        met = [
            fault
            for fault in _FAULTS[operation]
            if self._chances.random()
            < (self.late if fault == "delay" else getattr(self, f"{operation}_{fault}"))
        ]
        return planned or next(iter(met), None)

    def _part(self, length: int) -> int:
        """How many bytes a call of this length moves, if it is cut short."""
        with self._lock:
            return self._chances.randrange(max(length, 1)) // self.alignment * self.alignment
