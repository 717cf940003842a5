"""The kit on two file systems, and what it does not know of."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import coldpress
from coldpress.testing import DeviceTests
from coldpress_fsspec import FsspecDevice

SIZE = 4 << 20
PAGE = 4096


class OnAFileSystem(DeviceTests):
    """The objects are read behind the device's back, laid out as its index says."""

    plugin = FsspecDevice

    def outside(self, device: Any, offset: int, length: int) -> bytes:
        held = bytearray(length)
        at = offset
        while at < offset + length:
            stop, name, place = device._extents.begins(at, offset + length)
            if name:
                part = self.contents(f"{device._folder._path}/{name}")[place : place + stop - at]
                assert len(part) == stop - at
                held[at - offset : stop - offset] = part
            at = stop
        return bytes(held)

    def contents(self, path: str) -> bytes:
        """An object's bytes, as the file system itself has them."""
        raise AssertionError("each file system has its own way")


class TestLocal(OnAFileSystem):
    options: ClassVar[dict[str, Any]] = {"url": "file://{scratch}/cold"}

    def contents(self, path: str) -> bytes:
        return Path(path).read_bytes()


class TestMemory(OnAFileSystem):
    options: ClassVar[dict[str, Any]] = {"url": "memory://{scratch}/cold"}

    def contents(self, path: str) -> bytes:
        return MemoryFileSystem.store[path].getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cold"


@pytest.fixture
def device(place: Path) -> Iterator[FsspecDevice]:
    device = FsspecDevice(url=f"file://{place}", size=SIZE)
    device.open()
    yield device
    device.close()


def objects(place: Path) -> dict[str, int]:
    """The size of each object in the one device's folder."""
    (folder,) = place.iterdir()
    return {one.name: one.stat().st_size for one in folder.iterdir()}


def files(device: FsspecDevice) -> Any:
    """The file system, as fsspec made it for all who use it."""
    assert device._folder is not None
    return device._folder._files


def read(device: FsspecDevice, offset: int, length: int) -> bytes:
    into = bytearray(length)
    device.read_into(offset, memoryview(into))
    return bytes(into)


# -- objects ----------------------------------------------------------------------------------


def test_a_write_is_one_object_wherever_it_begins(device: FsspecDevice, place: Path) -> None:
    for offset in (0, 8192, (1 << 20) - 100, (2 << 20) - 1):
        device.write(offset, bytes(5000))
    assert sorted(objects(place).values()) == [5000] * 4


def test_a_long_write_is_objects_of_a_mebibyte(device: FsspecDevice, place: Path) -> None:
    data = os.urandom((2 << 20) + 7)
    device.write(100, data)
    assert sorted(objects(place).values()) == [7, 1 << 20, 1 << 20]
    assert read(device, 100, len(data)) == data


def test_an_object_goes_when_all_of_it_was_overwritten_or_discarded(
    device: FsspecDevice, place: Path
) -> None:
    device.write(0, b"a" * 1000)
    device.write(500, b"b" * 1000)
    device.write(0, b"c" * 499)
    assert len(objects(place)) == 3  # one byte is left of the first
    assert read(device, 0, 1500) == b"c" * 499 + b"a" + b"b" * 1000
    device.discard(499, 1)
    assert sorted(objects(place).values()) == [499, 1000]
    device.write(0, b"d" * 1500)
    assert list(objects(place).values()) == [1500]
    device.discard(0, SIZE)
    assert objects(place) == {}


def test_rewriting_blocks_takes_no_more_room(device: FsspecDevice, place: Path) -> None:
    for version in range(5):
        for block in range(8):
            device.write(8192 + block * 65536, bytes([version]) * 65536)
    assert list(objects(place).values()) == [65536] * 8
    assert not device._extents._live.keys() ^ objects(place).keys()


def test_what_was_never_written_is_zeros(device: FsspecDevice) -> None:
    device.write(10, b"x")
    assert read(device, 0, 20) == bytes(10) + b"x" + bytes(9)


def test_a_read_is_one_request_of_just_its_bytes(
    device: FsspecDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.write((1 << 20) - 3 * PAGE, bytes(8 * PAGE))  # across a bucket's end
    asked = []
    fetch = files(device).cat_file

    def cat_file(path: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        return fetch(path, start=start, end=end)

    monkeypatch.setattr(files(device), "cat_file", cat_file)
    read(device, (1 << 20) - PAGE, 3 * PAGE)
    assert asked == [(2 * PAGE, 5 * PAGE)]


def test_a_read_of_what_is_overwritten_meanwhile_gives_one_of_the_two(
    device: FsspecDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.write(0, b"old" * 1000)
    fetch = files(device).cat_file

    def late(path: str, start: int, end: int) -> bytes:
        monkeypatch.setattr(files(device), "cat_file", fetch)
        device.write(0, b"new" * 1000)  # removes the object that was found
        return fetch(path, start=start, end=end)

    monkeypatch.setattr(files(device), "cat_file", late)
    assert read(device, 0, 3000) == b"new" * 1000


def test_close_waits_for_the_calls_that_were_begun(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FsspecDevice(url=f"file://{place}", size=SIZE)
    device.open()
    entered, go = threading.Event(), threading.Event()
    put = files(device).pipe_file

    def slow(path: str, data: bytes) -> None:
        entered.set()
        assert go.wait(10)
        put(path, data)

    monkeypatch.setattr(files(device), "pipe_file", slow)
    writer = threading.Thread(target=device.write, args=(0, b"x"))
    closer = threading.Thread(target=device.close)
    writer.start()
    try:
        assert entered.wait(10)
        closer.start()
        closer.join(0.05)
        assert closer.is_alive()
        assert place.exists()
    finally:
        go.set()
        writer.join()
    closer.join()
    assert not place.exists()


# -- the place --------------------------------------------------------------------------------


def opened(url: str) -> FsspecDevice:
    device = FsspecDevice(url=url, size=SIZE)
    device.open()
    return device


def refused(url: str) -> str:
    with pytest.raises(coldpress.DeviceError) as caught:
        opened(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_the_parents_that_it_made_go_with_it_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    device = opened(f"file://{tmp_path}/there/not/yet")
    device.write(0, b"x")
    device.close()
    device.close()
    assert tree(tmp_path) == {tmp_path / "there"}


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("dear")
    before = tree(tmp_path)
    assert "holds what is not coldpress's: 'letters'" in refused(f"file://{tmp_path}")
    assert "is a file, not a folder" in refused(f"file://{tmp_path}/letters")
    assert "open failed: Not a directory" in refused(f"file://{tmp_path}/letters/cold")
    assert tree(tmp_path) == before
    assert (tmp_path / "letters").read_text() == "dear"


def test_what_a_crash_left_behind_is_neither_used_nor_touched(tmp_path: Path) -> None:
    dead = opened(f"file://{tmp_path}")
    dead.write(0, b"dead")
    left = tree(tmp_path)
    device = opened(f"file://{tmp_path}")
    assert read(device, 0, 4) == bytes(4)
    device.write(0, b"live")
    device.close()
    assert tree(tmp_path) == left
    assert read(dead, 0, 4) == b"dead"


def test_a_place_that_others_came_to_use_stays(tmp_path: Path) -> None:
    first = opened(f"file://{tmp_path}/cold")
    second = opened(f"file://{tmp_path}/cold")
    first.close()
    second.write(0, b"x")
    assert read(second, 0, 1) == b"x"
    second.close()
    assert tree(tmp_path) == {tmp_path / "cold"}  # the first made it and could not remove it


def test_local_objects_are_for_their_owner_alone(device: FsspecDevice, place: Path) -> None:
    (folder,) = place.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_open_that_fails_half_way_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = fsspec.filesystem("file")
    make = local.makedirs

    def half(path: str) -> None:
        make(path)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(local, "makedirs", half)
    assert "open failed: Input/output error" in refused(f"file://{tmp_path}/a/b")
    assert tree(tmp_path) == set()


def test_a_url_of_no_known_kind_is_an_error_without_its_secrets() -> None:
    message = refused("nosuch://me:secret@host/cold")
    assert message == "nosuch://host/cold: open failed: Protocol not known: nosuch"


def test_options_that_can_not_be_are_refused() -> None:
    for url in ("", "file:///a\0b"):
        with pytest.raises(ValueError, match="must name a folder"):
            FsspecDevice(url=url)
    with pytest.raises(ValueError, match="must be false"):
        FsspecDevice(url="memory://cold", persistent=True)


# -- a file system that fails -----------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_left_is_a_full_device_and_no_half_object(
    device: FsspecDevice, place: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    device.write(0, b"old")
    put = files(device).pipe_file

    def half(path: str, data: bytes) -> None:
        put(path, data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as failing:
        failing.setattr(files(device), "pipe_file", half)
        with pytest.raises(coldpress.DeviceFull) as caught:
            device.write(0, b"newer")
    assert str(caught.value).startswith(f"file://{place}: write of 5 bytes at offset 0 failed: ")
    assert list(objects(place).values()) == [3]
    device.write(0, b"newer")
    assert read(device, 0, 5) == b"newer"


def test_any_error_of_a_file_system_is_told_with_its_cause(
    device: FsspecDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("the bucket is on fire\nand more")

    device.write(7, b"x" * 10)
    monkeypatch.setattr(files(device), "pipe_file", broken)
    monkeypatch.setattr(files(device), "cat_file", broken)
    with pytest.raises(coldpress.DeviceError, match=r"at offset 9 failed: the bucket is on fire$"):
        device.write(9, b"x")
    with pytest.raises(coldpress.DeviceError, match=r"read of 8 bytes at offset 9 failed: the b"):
        read(device, 9, 8)


def test_an_object_that_vanished_or_shrank_is_an_error(device: FsspecDevice, place: Path) -> None:
    for offset in (0, 100):
        device.write(offset, b"x" * 100)
    (folder,) = place.iterdir()
    gone, short = sorted(folder.iterdir())
    gone.unlink()
    os.truncate(short, 10)
    with pytest.raises(coldpress.DeviceError, match="offset 0 failed: No such file"):
        read(device, 0, 100)
    with pytest.raises(coldpress.DeviceError, match="offset 105 failed: 5 bytes came of 95"):
        read(device, 105, 95)


def test_an_object_that_can_not_be_removed_goes_with_the_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = opened(f"file://{place}")
    with monkeypatch.context() as failing:
        failing.setattr(files(device), "rm_file", lambda path: 1 / 0)
        device.write(0, b"a")
        device.write(0, b"b")
        device.discard(0, 1)
        assert len(objects(place)) == 2
    device.close()
    assert not place.exists()


def test_contents_that_can_not_be_removed_are_an_error_and_it_is_closed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = opened(f"file://{place}")
    monkeypatch.setattr(files(device), "rm", lambda path, recursive: 1 / 0)
    with pytest.raises(coldpress.DeviceError, match="removing the contents failed: division"):
        device.close()
    device.close()
    with pytest.raises(coldpress.DeviceError, match="closed"):
        device.flush()
