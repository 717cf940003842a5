"""The device that is a file, read and written through the page cache."""

from __future__ import annotations

import attrs

import coldpress
from coldpress_plugins.devices.fd import FdDevice, path_text
from coldpress_plugins.devices.image import Image, named_image, unnamed_image


@attrs.define(slots=False, eq=False, kw_only=True)
class FileDevice(FdDevice):
    """A sparse file on any file system, cached by the kernel.

    Attributes:
        path: config key; where the file is or will be, made readable for its owner alone. An
            existing one must be empty, zero, or coldpress's own, and keeps its permissions. Without
            a path the file is a temporary one that has no name, in the directory that the
            `tempfile` module chooses.

    Notes:
        Thread-safe. Reads and writes copy through the page cache, which is RAM that the pool's
        limit does not count; `nvme` goes around it.
    """

    name = "file"
    path: str | None = coldpress.option(
        default=None, help="the file; none: a temporary one without a name", validator=path_text
    )

    def why_forgetful(self) -> str | None:
        return "a file without 'path' can not be found again" if self.path is None else None

    def _acquire(self) -> Image:
        if self.path is None:
            return unnamed_image()
        return named_image(self.path, blocks=False, may_be_kept=self.persistent or self.format)
