"""The device that is read and written directly, past the page cache."""

from __future__ import annotations

import errno
import fcntl
import os

import attrs

import coldpress
from coldpress_plugins.devices import linux
from coldpress_plugins.devices.fd import FdDevice, path_text
from coldpress_plugins.devices.image import Image, named_image

_FILE_ALIGNMENT = 4096
# Most file systems allow less, but a direct write of part of a file system block makes them read or
# zero the rest of it under an exclusive lock, and 4096 is the smallest page that coldpress packs.


@attrs.define(slots=False, eq=False, kw_only=True)
class NvmeDevice(FdDevice):
    """A block device, or a file, with O_DIRECT: the kernel keeps no second copy in RAM.

    Attributes:
        path: config key; a block device that is not in use, of which the first `size` bytes are
            taken, or a file, as for `file`. What is there must be zero, or coldpress's own.

    Notes:
        Thread-safe. `alignment` is a block device's logical block size, and 4096 or what the file
        system asks for on a file; an offset, a length or a memory address that is no multiple of
        it is a `ValueError`. On a block device, what was stored is discarded at `close`.
    """

    name = "nvme"
    queue_depth = 8
    path: str = coldpress.option(help="the block device or file", validator=path_text)

    def _acquire(self) -> Image:
        return named_image(self.path, blocks=True, may_be_kept=self.persistent or self.format)

    def _prepare(self, image: Image) -> int:
        fd = int(image.fd)  # a plain number, for an error's traceback would keep a descriptor open
        # Set after the open, which read the first bytes without regard for alignment.
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise self._not_direct(image) from error
        if image.block:
            if linux.is_read_only(fd):
                raise coldpress.DeviceError(f"{image.label} is read-only")
            return linux.logical_block_size(fd)
        asked = linux.direct_alignment(fd)
        if asked == 0:  # the flag was taken, but the file system would go through the page cache
            raise self._not_direct(image)
        return max(_FILE_ALIGNMENT, asked or 0)

    def _check(self, offset: int, buffer: memoryview) -> None:
        super()._check(offset, buffer)
        if buffer.nbytes and linux.address(buffer) % self._alignment:
            raise ValueError(f"the buffer's address must be a multiple of {self._alignment}")

    def _not_direct(self, image: Image) -> coldpress.DeviceError:
        return coldpress.DeviceError(
            f'{image.label}: the file system has no O_DIRECT; use = "file" instead'
        )
