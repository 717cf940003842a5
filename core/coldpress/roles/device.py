"""The device role."""

from __future__ import annotations

import abc
from typing import ClassVar

import attrs

from coldpress.component import Buffer, Component, option
from coldpress.keyfile import encrypt_option
from coldpress.units import Size


@attrs.define(slots=False, eq=False, kw_only=True)
class Device(Component):
    """Reads, writes, discards and flushes a linear range of bytes.

    Attributes:
        size: config key; bytes of the device.
        persistent: config key; whether the contents outlive `close`, and `open` finds them again.
        format: config key; whether what another pipeline left there may be given up.
        encrypt: config key; what the pipeline encrypts with all that it writes there.
        alignment: known after `open`; every offset, every length and every buffer's address is a
            multiple of it (1: anything goes; O_DIRECT needs the logical block size).

    Notes:
        Thread-safe: any number of threads read and write different ranges at once. A read or a
        write is complete when the call returns, however often the system call was short. `close`
        may come while others read: they end well, or raise `DeviceError`.
        What was written may be lost until `flush` returned. Errors are `DeviceError`, with the
        device, the operation and the offset; a write without space left is `DeviceFull`. A range
        that the device does not have or that is not aligned, the caller's mistake, is a
        `ValueError`. A call during which another thread closes the device ends well or is a
        `DeviceError`.
    """

    queue_depth: ClassVar[int] = 1
    """How many threads it pays to have reading at once; 1 if a read is often but a copy."""

    size: Size = option(default=Size(1 << 30), help="bytes that coldpress may use of the device")
    persistent: bool = option(
        default=False,
        help="whether what sync() acknowledged is there after a crash; false: forgotten at close",
    )
    format: bool = option(
        default=False,
        help="whether what another, persistent pipeline left on the device may be given up",
    )

    encrypt: str = option(
        default="",
        help='encrypts what is on the device: "ephemeral", with a random key that is gone at '
        "close; or the path of a file with a key of 32 bytes; nothing: it is not encrypted",
        validator=encrypt_option,
    )

    def why_forgetful(self) -> str | None:
        """Why the device can not be `persistent`, with the options it has; None if it can.

        One that can flushes what was written to where neither the end of the process nor of power
        reaches it, and lets no other process open the medium meanwhile.
        """
        return "its contents end with the process"

    @abc.abstractmethod
    def open(self) -> None:
        """Acquire the medium, for this device alone. Raises `DeviceError` and leaves no trace."""

    @property
    @abc.abstractmethod
    def alignment(self) -> int: ...

    @abc.abstractmethod
    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the writable `buffer` from `offset` on. What was never written reads as anything."""

    @abc.abstractmethod
    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data` at `offset`. After an error the range may hold anything."""

    @abc.abstractmethod
    def discard(self, offset: int, length: int) -> None:
        """The range is not needed any more; a hint, which may do nothing, but never a failure."""

    @abc.abstractmethod
    def flush(self) -> None:
        """Everything written before the call is durable when it returns."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release the medium; not `persistent`: leave nothing behind. Safe to call twice.

        Every other call is a `DeviceError` then, until the device is opened again.
        """
