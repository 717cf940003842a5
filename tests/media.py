"""Devices for tests, and ways to their media that do not lead through the device."""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from coldpress import Device, DeviceError
from coldpress.flat import reserve, resident
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.memory import MemoryDevice
from coldpress_plugins.devices.nvme import NvmeDevice

SIZE = 1 << 20
PAGE = 4096


def buffer(content: bytes | int) -> memoryview:
    """Memory that begins at an OS page, as O_DIRECT needs it."""
    size = content if isinstance(content, int) else len(content)
    view = memoryview(reserve(size))[:size]
    if isinstance(content, bytes):
        view[:] = content
    return view


def noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def read(device: Device, offset: int, length: int) -> bytes:
    into = buffer(length)
    device.read_into(offset, into)
    return bytes(into)


def descriptors() -> set[Path]:
    """What this process has open; the listing's own entry is gone by the time it is looked at."""
    return {entry for entry in list(Path("/proc/self/fd").iterdir()) if entry.is_symlink()}


def opened_since(before: set[Path]) -> Path:
    (only,) = descriptors() - before
    return only


@attrs.define
class Medium:
    """An open device and what lies under it, reached without the device.

    `file` is anything that `open` takes, `start` where the device begins in it.
    """

    device: Device
    file: Path
    start: int = 0
    real_bytes: Callable[[], int] = lambda: 0

    def contents(self) -> bytes:
        with open(self.file, "rb", buffering=0) as file:
            return os.pread(file.fileno(), SIZE, self.start)

    def plant(self, offset: int, data: bytes) -> None:
        with open(self.file, "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data, self.start + offset)


def file_medium(device: Device, file: Path) -> Medium:
    return Medium(device, file, real_bytes=lambda: file.stat().st_blocks * 512)


@contextmanager
def memory_medium(folder: Path) -> Iterator[Medium]:
    device = MemoryDevice(size=SIZE)
    device.open()
    view = device._view
    assert view is not None
    start = ctypes.addressof(ctypes.c_char.from_buffer(view))
    yield Medium(device, Path("/proc/self/mem"), start, partial(resident, view))
    device.close()


@contextmanager
def named_medium(device: Device) -> Iterator[Medium]:
    device.open()
    yield file_medium(device, Path(device.path))  # type: ignore[attr-defined]
    device.close()


@contextmanager
def unnamed_medium(folder: Path) -> Iterator[Medium]:
    before = descriptors()
    device = FileDevice(size=SIZE)
    device.open()
    yield file_medium(device, opened_since(before))
    device.close()


MEDIA = {
    "memory": memory_medium,
    "file": lambda folder: named_medium(FileDevice(path=str(folder / "cold.img"), size=SIZE)),
    "unnamed": unnamed_medium,
    "nvme": lambda folder: named_medium(NvmeDevice(path=str(folder / "cold.img"), size=SIZE)),
}


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
