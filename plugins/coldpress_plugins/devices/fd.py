"""What the devices with a file descriptor share: whole reads and writes at an offset."""

from __future__ import annotations

import abc
import errno
import os
import threading
from collections.abc import Callable
from typing import Any

import attrs

import coldpress
from coldpress.bounds import check_range
from coldpress_plugins.devices.image import CLOSED, Image, explained


def path_text(instance: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    """Validator of a config key: a path that the system can take, or None."""
    if value is not None and (not value or "\0" in value):
        raise ValueError(f"must name a file, got {value!r}")


@attrs.define(slots=False, eq=False, kw_only=True)
class FdDevice(coldpress.Device):
    """A device that is read and written through a file descriptor.

    Notes:
        Thread-safe: preadv(2) and pwritev(2) share no file position. A call that runs while another
        thread closes the device ends on the same file, or raises `DeviceError`.
    """

    _image: Image | None = attrs.field(init=False, default=None)
    _fd: int = attrs.field(init=False, default=CLOSED)  # the image's, one step nearer
    _alignment: int = attrs.field(init=False, default=1)
    _label: str = attrs.field(init=False, default="")
    _flushing: threading.Lock = attrs.field(init=False, factory=threading.Lock)
    _flush_failed: bool = attrs.field(init=False, default=False)

    def why_forgetful(self) -> str | None:
        return None

    @abc.abstractmethod
    def _acquire(self) -> Image:
        """Open the image. Raises `DeviceError` and leaves no trace then."""

    def _prepare(self, image: Image) -> int:
        """Make the descriptor ready and return the alignment. Raises `DeviceError`, `OSError`."""
        return 1

    def open(self) -> None:
        image = self._acquire()
        try:
            with explained(image.label):
                self._alignment = self._prepare(image)
                short = image.why_short(self.size) if self.persistent else None
                if short and not self.format:
                    raise coldpress.DeviceError(short)
                image.resize(self.size, keep=self.persistent and not short)
                if self.persistent:
                    image.make_durable()
                    # After a failed flush, what never reached the medium is still in the cache, as
                    # if it had: what is read from now on is what would be there after a crash.
                    os.posix_fadvise(image.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except BaseException:
            image.abandon()
            raise
        self._label = image.label
        self._flush_failed = False
        self._image = image
        self._fd = image.fd

    @property
    def alignment(self) -> int:
        return self._alignment

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._check(offset, buffer)
        self._transfer("read", os.preadv, offset, buffer)

    def write(self, offset: int, data: coldpress.Buffer) -> None:
        source = memoryview(data)
        self._check(offset, source)
        self._transfer("write", os.pwritev, offset, source)

    def discard(self, offset: int, length: int) -> None:
        check_range(offset, length, self.size, self._alignment)
        image = self._image
        if image is None:
            raise self._closed()
        image.discard(offset, length)

    def flush(self) -> None:
        # The kernel tells of a failed write-out once, to one caller, and then takes the lost pages
        # for clean: a later or a concurrent flush must not pass for success.
        with self._flushing:
            if self._flush_failed:
                raise coldpress.DeviceError(
                    f"{self._label}: an earlier flush failed, and what it was to keep may be lost; "
                    "what was flushed before is there when it is opened anew"
                )
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._flush_failed = self._fd != CLOSED
                raise self._failed("flush", error) from error

    def close(self) -> None:
        image, self._image = self._image, None
        self._fd = CLOSED
        if image is None:
            return
        try:
            if not self.persistent:
                image.forget(self.size)
        except OSError as error:
            raise coldpress.DeviceError(
                f"{image.label}: the contents could not be removed: {error.strerror}"
            ) from error
        finally:
            image.close()

    def _check(self, offset: int, buffer: memoryview) -> None:
        check_range(offset, buffer.nbytes, self.size, self._alignment)

    def _transfer(
        self,
        operation: str,
        call: Callable[[int, list[memoryview], int], int],
        offset: int,
        left: memoryview,
    ) -> None:
        while left.nbytes:
            try:
                # No local variable holds the descriptor: an error's traceback would keep it open.
                count = call(self._fd, [left], offset)
            except OSError as error:
                what = f"{operation} of {left.nbytes} bytes at offset {offset}"
                raise self._failed(what, error) from error
            if count == left.nbytes:
                return
            count -= count % self._alignment  # O_DIRECT can not go on from inside a block
            if not count:
                raise coldpress.DeviceError(
                    f"{self._label}: short {operation} at offset {offset}:"
                    f" {left.nbytes} bytes are missing"
                )
            left = left.cast("B")[count:]
            offset += count

    def _failed(self, what: str, error: OSError) -> coldpress.DeviceError:
        if self._fd == CLOSED:
            return self._closed()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = coldpress.DeviceFull if full else coldpress.DeviceError
        return kind(f"{self._label}: {what} failed: {error.strerror}")

    def _closed(self) -> coldpress.DeviceError:
        return coldpress.DeviceError(f"{self.name}: device is closed")
