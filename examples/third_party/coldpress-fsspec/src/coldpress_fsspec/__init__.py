"""A device for coldpress on any file system that fsspec knows."""

from __future__ import annotations

import coldpress
from coldpress_fsspec.device import FsspecDevice


@coldpress.hookimpl
def coldpress_devices() -> list[type[coldpress.Device]]:
    return [FsspecDevice]


__all__ = ["FsspecDevice"]
