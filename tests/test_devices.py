"""The built-in devices: the common contract, and what each promises beyond it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from media import PAGE
from once import on_one_python

from coldpress import Device, DeviceError
from coldpress.flat import OS_PAGE, resident
from coldpress.testing import CrashDevice, DeviceTests
from coldpress.testing.ranges import SIZE, noise, read
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.memory import MemoryDevice
from coldpress_plugins.devices.nvme import NvmeDevice


class TestMemory(DeviceTests):
    plugin = MemoryDevice

    def outside(self, device: Any, offset: int, length: int) -> bytes:
        start = ctypes.addressof(ctypes.c_char.from_buffer(device._view))
        return ctypes.string_at(start + offset, length)

    def real_bytes(self, device: Any) -> int:
        return resident(device._view)


class TestFile(DeviceTests):
    plugin = FileDevice

    def real_bytes(self, device: Any) -> int:
        return int(Path(device.path).stat().st_blocks) * 512


class TestUnnamedFile(DeviceTests):
    plugin = FileDevice

    def given(self, scratch: Path) -> dict[str, Any]:
        return {}

    def outside(self, device: Any, offset: int, length: int) -> bytes:
        with open(f"/proc/self/fd/{device._fd}", "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(length)


class TestNvme(DeviceTests):
    plugin = NvmeDevice

    def real_bytes(self, device: Any) -> int:
        return int(Path(device.path).stat().st_blocks) * 512


@on_one_python
class TestCrash(DeviceTests):
    """What tests of images and crashes stand on."""

    plugin = CrashDevice


@pytest.mark.parametrize("make", [MemoryDevice, FileDevice])
def test_discard_spares_the_pages_that_it_touches_in_part(make: Callable[..., Device]) -> None:
    device = make(size=SIZE)
    device.open()
    data = noise(SIZE)
    device.write(0, data)
    device.discard(1, PAGE - 1)
    device.discard(2 * PAGE + 1, 3 * PAGE)
    found = read(device, 0, SIZE)
    assert found[0] == data[0]
    assert found[PAGE : 2 * PAGE + 1] == data[PAGE : 2 * PAGE + 1]
    assert found[5 * PAGE + 1 :] == data[5 * PAGE + 1 :]
    device.close()


def test_memory_that_can_not_be_reserved_is_an_error() -> None:
    for size in (1 << 62, 1 << 70):
        with pytest.raises(DeviceError, match=f"memory: can not reserve {size} bytes"):
            MemoryDevice(size=size).open()


def test_memory_is_real_only_where_it_was_written() -> None:
    device = MemoryDevice(size=1 << 32)
    device.open()
    device.write((1 << 32) - 1, b"x")
    assert device._view is not None
    assert resident(device._view[-SIZE:]) == OS_PAGE
    device.close()


def test_a_path_must_name_something() -> None:
    for device in (FileDevice, NvmeDevice):
        for path in ("", "a\0b"):
            with pytest.raises(ValueError, match="must name a file"):
                device(path=path)
    with pytest.raises(TypeError, match="path"):
        NvmeDevice()  # type: ignore[call-arg]
