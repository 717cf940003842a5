"""Devices on files, for tests of what becomes of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coldpress import Device, DeviceError
from coldpress.testing.leftovers import descriptors
from coldpress.testing.ranges import SIZE
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.nvme import NvmeDevice

PAGE = 4096


def opened_since(before: set[Path]) -> Path:
    (only,) = descriptors() - before
    return only


FILES: dict[str, Callable[..., Any]] = {"file": FileDevice, "nvme": NvmeDevice}


@contextmanager
def maker(kind: str) -> Iterator[Callable[..., Any]]:
    """Makes devices of one of the FILES and closes them; no descriptor may be left over."""
    before = descriptors()
    made: list[Device] = []

    def make(path: Path | str, size: int = SIZE) -> Device:
        made.append(FILES[kind](path=str(path), size=size))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert descriptors() <= before


def refused(device: Device, match: str) -> DeviceError:
    """The error of an `open` that must fail and keep no descriptor, even while the error lives."""
    before = descriptors()
    with pytest.raises(DeviceError, match=match) as caught:
        device.open()
    assert descriptors() == before
    with pytest.raises(DeviceError, match="device is closed"):
        device.flush()
    return caught.value
