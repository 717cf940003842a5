"""Direct I/O on a file."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from media import opened_since, refused

from coldpress.testing.leftovers import descriptors
from coldpress.testing.ranges import SIZE, buffer
from coldpress_plugins.devices import linux
from coldpress_plugins.devices.nvme import NvmeDevice


def direct(tmp_path: Path) -> NvmeDevice:
    return NvmeDevice(path=str(tmp_path / "cold.img"), size=SIZE)


def test_nvme_goes_around_the_page_cache(tmp_path: Path) -> None:
    before = descriptors()
    device = direct(tmp_path)
    device.open()
    number = int(opened_since(before).name)
    assert fcntl.fcntl(number, fcntl.F_GETFL) & os.O_DIRECT
    device.close()


def test_nvme_refuses_what_is_not_aligned(tmp_path: Path) -> None:
    device = direct(tmp_path)
    device.open()
    assert device.alignment == 4096
    unit = device.alignment
    good = buffer(3 * unit)
    for offset, view in ((512, good[:unit]), (0, good[:512]), (unit, good[512 : unit + 512])):
        for data in (view, view.toreadonly()):
            with pytest.raises(ValueError, match="multiple"):
                device.write(offset, data)
        with pytest.raises(ValueError, match="multiple"):
            device.read_into(offset, view)
    for offset, length in ((512, unit), (0, 512)):
        with pytest.raises(ValueError, match="multiple"):
            device.discard(offset, length)
    assert (tmp_path / "cold.img").read_bytes() == bytes(SIZE)
    device.close()


@pytest.mark.parametrize(("asked", "alignment"), [(None, 4096), (512, 4096), (65536, 65536)])
def test_nvme_follows_a_file_system_that_asks_for_more(
    tmp_path: Path, monkeypatch: Any, asked: int | None, alignment: int
) -> None:
    monkeypatch.setattr(linux, "direct_alignment", lambda fd: asked)
    device = direct(tmp_path)
    device.open()
    assert device.alignment == alignment
    device.close()


def test_a_system_that_does_not_tell_the_alignment(tmp_path: Path, monkeypatch: Any) -> None:
    with open(tmp_path / "file", "w+b") as file:
        for answer in (None, lambda *_: -1, lambda *_: 0):  # no such call; it fails; unknown
            monkeypatch.setattr(linux, "_statx", answer)
            assert linux.direct_alignment(file.fileno()) is None


def test_nvme_names_the_other_device_where_direct_io_is_not_possible(
    tmp_path: Path, monkeypatch: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(linux, "direct_alignment", lambda fd: 0)
        refused(direct(tmp_path), 'no O_DIRECT; use = "file" instead')
    real = fcntl.fcntl

    def set_flags(fd: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(fd, command, argument)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "fcntl", set_flags)
        refused(direct(tmp_path), 'no O_DIRECT; use = "file" instead')
    assert list(tmp_path.iterdir()) == []


def test_addresses_are_those_of_the_memory() -> None:
    data = bytearray(16)
    start = ctypes.addressof(ctypes.c_char.from_buffer(data))
    assert linux.address(memoryview(data)[5:]) == start + 5
    assert linux.address(memoryview(data).toreadonly()[7:]) == start + 7
    data.append(1)  # nothing holds the memory any more
