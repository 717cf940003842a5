"""System calls that do less than they were asked to, fail, or outlive the device."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from media import FILES, PAGE, maker

from coldpress import DeviceError, DeviceFull
from coldpress.layout import SUPERBLOCK_MAGIC
from coldpress.testing.leftovers import descriptors
from coldpress.testing.ranges import SIZE, buffer, noise, read
from coldpress_plugins.devices import linux
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.nvme import NvmeDevice

Make = Callable[..., Any]


@pytest.fixture(params=FILES)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with maker(request.param) as make:
        yield make


def limited(monkeypatch: Any, name: str, most: int) -> list[int]:
    """Let each call of os.preadv or os.pwritev move at most `most` bytes; returns its offsets."""
    real = getattr(os, name)
    offsets: list[int] = []

    def call(fd: int, views: list[memoryview], offset: int) -> int:
        offsets.append(offset)
        (view,) = views
        return int(real(fd, [view.cast("B")[:most]], offset))

    monkeypatch.setattr(os, name, call)
    return offsets


def test_short_calls_are_continued(make: Make, path: Path, monkeypatch: Any) -> None:
    device = make(path)
    device.open()
    data = noise(8 * PAGE)
    writes = limited(monkeypatch, "pwritev", 3 * PAGE)
    device.write(PAGE, buffer(data).cast("Q"))
    assert writes == [PAGE, 4 * PAGE, 7 * PAGE]
    assert path.read_bytes()[: 10 * PAGE] == bytes(PAGE) + data + bytes(PAGE)
    reads = limited(monkeypatch, "preadv", 3 * PAGE)
    assert read(device, PAGE, 8 * PAGE) == data
    assert reads == [PAGE, 4 * PAGE, 7 * PAGE]


def test_short_calls_inside_a_sector_are_continued(path: Path, monkeypatch: Any) -> None:
    device = FileDevice(path=str(path), size=SIZE)
    device.open()
    limited(monkeypatch, "pwritev", 1000)
    limited(monkeypatch, "preadv", 999)
    device.write(3, noise(5000))
    assert read(device, 3, 5000) == noise(5000)
    device.close()


def test_direct_io_goes_on_at_a_block_boundary(path: Path, monkeypatch: Any) -> None:
    device = NvmeDevice(path=str(path), size=SIZE)
    device.open()
    data = noise(4 * PAGE)
    path.write_bytes(bytes(PAGE) + data + bytes(SIZE - 5 * PAGE))
    real, reads = os.preadv, []

    def some(fd: int, views: list[memoryview], offset: int) -> int:
        reads.append(offset)
        return min(real(fd, views, offset), PAGE + 100)

    monkeypatch.setattr(os, "preadv", some)
    assert read(device, PAGE, 4 * PAGE) == data
    assert reads == [PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE]
    device.close()


@pytest.mark.parametrize("left", [0, PAGE, PAGE + 100])
def test_a_file_cut_short_is_an_error_at_the_offset(make: Make, path: Path, left: int) -> None:
    device = make(path)
    device.open()
    os.truncate(path, left)
    end = left - left % device.alignment
    with pytest.raises(DeviceError, match=rf"cold.img: short read at offset {end}: \d+ bytes"):
        device.read_into(0, buffer(4 * PAGE))


def test_a_write_that_moves_nothing_is_an_error(make: Make, path: Path, monkeypatch: Any) -> None:
    device = make(path)
    device.open()
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(DeviceError, match="short write at offset 8192"):
        device.write(2 * PAGE, buffer(PAGE))


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DeviceFull), (errno.EDQUOT, DeviceFull), (errno.EIO, DeviceError)],
)
def test_errors_say_what_where_and_why(
    make: Make, path: Path, monkeypatch: Any, number: int, kind: type[DeviceError]
) -> None:
    device = make(path)
    device.open()

    real, room = os.pwritev, iter([PAGE])

    def fail(fd: int, *_: Any) -> int:
        del fd, _  # as a system call has them: not kept by the traceback
        raise OSError(number, os.strerror(number))

    def fail_after_a_page(fd: int, views: list[memoryview], offset: int) -> int:
        most = next(room, 0)
        if most:
            return real(fd, [views[0][:most]], offset)
        del fd
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(os, "pwritev", fail_after_a_page)
    why = os.strerror(number)
    with pytest.raises(DeviceError) as write:
        device.write(2 * PAGE, buffer(3 * PAGE))
    assert type(write.value) is kind
    assert str(write.value) == f"{path}: write of 8192 bytes at offset 12288 failed: {why}"
    with pytest.raises(
        DeviceError, match=f"cold.img: read of 4096 bytes at offset 0 failed: {why}"
    ):
        device.read_into(0, buffer(PAGE))


def test_after_a_failed_flush_no_flush_succeeds(make: Make, path: Path, monkeypatch: Any) -> None:
    device = make(path)
    device.open()
    device.flush()

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(DeviceError, match=r"cold.img: flush failed: Input/output error"):
            device.flush()
    with pytest.raises(DeviceError, match=r"cold.img: an earlier flush failed.* opened anew$"):
        device.flush()
    device.close()
    device.open()
    device.flush()


def test_flush_asks_the_kernel(make: Make, path: Path, monkeypatch: Any) -> None:
    device = make(path)
    device.open()
    synced: list[bool] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: synced.append(os.path.samestat(os.fstat(fd), path.stat()))
    )
    device.flush()
    assert synced == [True]


def test_a_hint_that_fails_is_no_error(make: Make, path: Path) -> None:
    device = make(path)
    device.open()
    device.write(0, buffer(noise(4 * PAGE)))
    real = linux._fallocate
    try:
        linux._fallocate = lambda *_: -1
        device.discard(0, 4 * PAGE)
        linux._fallocate = None  # a C library without it
        device.discard(0, 4 * PAGE)
    finally:
        linux._fallocate = real
    assert path.read_bytes()[: 4 * PAGE] == noise(4 * PAGE)


def test_a_call_under_way_at_close_does_not_reach_another_file(
    make: Make, path: Path, monkeypatch: Any
) -> None:
    device = make(path)
    device.open()
    device.write(0, buffer(noise(PAGE)))
    real = os.pwritev
    entered, go = threading.Event(), threading.Event()

    def slow(fd: int, views: list[memoryview], offset: int) -> int:
        entered.set()
        assert go.wait(10)
        return real(fd, views, offset)

    monkeypatch.setattr(os, "pwritev", slow)
    thread = threading.Thread(target=device.write, args=(PAGE, buffer(noise(PAGE, 2))))
    thread.start()
    assert entered.wait(10)
    device.close()
    victim = path.with_name("victim")
    with open(victim, "w+b", buffering=0) as other:
        go.set()
        thread.join()
        assert os.fstat(other.fileno()).st_size == 0
    assert not path.exists()


def test_a_device_that_nobody_closed_lets_go_of_its_lock(path: Path) -> None:
    before = descriptors()
    device = FileDevice(path=str(path), size=SIZE)
    device.open()
    device.write(0, SUPERBLOCK_MAGIC)
    del device
    assert descriptors() == before
    again = FileDevice(path=str(path), size=SIZE)
    again.open()
    again.close()
