"""How `file` and `nvme` come by their file, and what they leave behind."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from media import FILES, PAGE, maker, refused

from coldpress import DeviceError
from coldpress.layout import SUPERBLOCK_MAGIC
from coldpress.testing.leftovers import descriptors
from coldpress.testing.ranges import SIZE, buffer, noise
from coldpress_plugins.devices.file import FileDevice

Make = Callable[..., Any]


@pytest.fixture(params=FILES)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with maker(request.param) as make:
        yield make


def test_the_file_is_its_owners_alone_and_sparse(make: Make, path: Path) -> None:
    before = os.umask(0)
    try:
        make(path, size=8 << 30).open()
    finally:
        os.umask(before)
    status = path.stat()
    assert status.st_mode & 0o7777 == 0o600
    assert status.st_size == 8 << 30
    assert status.st_blocks * 512 < 1 << 20


def test_no_descriptor_reaches_a_child(make: Make, path: Path) -> None:
    before = descriptors()
    make(path).open()
    unnamed = FileDevice(size=SIZE)
    unnamed.open()
    numbers = [int(entry.name) for entry in descriptors() - before]
    assert len(numbers) == 2
    assert all(fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for number in numbers)
    unnamed.close()


def test_the_unnamed_file_is_in_no_directory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    device = FileDevice(size=SIZE)
    device.open()
    device.write(0, noise(PAGE))
    assert list(tmp_path.iterdir()) == []
    device.close()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    refused(device, "can not open a temporary file: No such file")


def test_close_leaves_no_file_wherever_the_process_has_gone(
    make: Make, path: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    device = make("cold.img")
    device.open()
    assert path.exists()
    monkeypatch.chdir("/")
    device.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", SUPERBLOCK_MAGIC + noise(SIZE + 99), bytes(SIZE)])
def test_a_file_of_its_own_is_emptied_and_stays(make: Make, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    device = make(path)
    device.open()
    assert path.read_bytes() == bytes(SIZE)
    device.write(0, buffer(noise(PAGE)))
    device.close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("at", [0, 1, (128 << 10) - 1, 128 << 10, 3 << 20])
def test_data_of_someone_else_is_refused_and_stays(make: Make, path: Path, at: int) -> None:
    content = bytes(at) + b"notes" + bytes(SIZE)
    path.write_bytes(content)
    error = refused(make(path), "holds data that coldpress did not write")
    assert str(error) == (
        f"{path} holds data that coldpress did not write; choose another path, or remove it first"
    )
    assert path.read_bytes() == content


def test_a_second_opener_is_refused_and_harms_nothing(make: Make, path: Path) -> None:
    first, second = make(path), make(path)
    first.open()
    first.write(PAGE, buffer(noise(PAGE)))
    error = refused(second, "in use")
    assert str(error) == f"{path} is in use by another process"
    second.close()
    assert path.read_bytes()[PAGE : 2 * PAGE] == noise(PAGE)
    first.close()
    second.open()


def test_another_process_is_refused(make: Make, path: Path) -> None:
    make(path).open()
    script = (
        "import sys; from coldpress_plugins.devices.file import FileDevice\n"
        "FileDevice(path=sys.argv[1], size=4096).open()"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, check=False)
    assert b"is in use by another process" in done.stderr


def test_a_file_removed_between_open_and_lock_is_not_taken(
    make: Make, path: Path, monkeypatch: Any
) -> None:
    path.touch()
    real = fcntl.flock

    def after_the_holder_left(fd: int, operation: int) -> None:
        path.unlink()
        path.write_bytes(b"of the next process")
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", after_the_holder_left)
    refused(make(path), "in use by another process")
    assert path.read_bytes() == b"of the next process"


def test_a_file_that_another_opener_locked_first_is_left_to_it(
    make: Make, path: Path, monkeypatch: Any
) -> None:
    def taken(fd: int, operation: int) -> None:
        raise BlockingIOError(errno.EWOULDBLOCK, "taken")

    monkeypatch.setattr(fcntl, "flock", taken)
    refused(make(path), "in use by another process")
    assert path.exists()


def test_close_spares_a_file_that_took_the_name(make: Make, path: Path) -> None:
    device = make(path)
    device.open()
    path.rename(path.with_suffix(".old"))
    path.write_bytes(b"of someone else")
    device.close()
    assert path.read_bytes() == b"of someone else"
    assert path.with_suffix(".old").read_bytes() == b""


@pytest.mark.parametrize("failure", [OSError(errno.EFBIG, "File too large"), KeyboardInterrupt()])
def test_a_failed_open_takes_back_what_it_created(
    make: Make, path: Path, monkeypatch: Any, failure: BaseException
) -> None:
    def fail(fd: int, size: int) -> None:
        assert path.exists()
        del fd  # as a system call has it: not kept by the traceback
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises((DeviceError, KeyboardInterrupt)) as caught:
            make(path).open()
    assert not path.exists()
    make(path).open()  # nothing is locked, though the error and its frames live on
    del caught


@pytest.mark.parametrize("size", [1 << 62, 1 << 70])
def test_a_size_that_no_file_has_changes_nothing(make: Make, path: Path, size: int) -> None:
    refused(make(path, size), f"can not be {size} bytes long")
    assert not path.exists()
    content = SUPERBLOCK_MAGIC + noise(PAGE)
    path.write_bytes(content)
    refused(make(path, size), f"can not be {size} bytes long")
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused_untouched(make: Make, tmp_path: Path) -> None:
    fifo, link, unix = tmp_path / "fifo", tmp_path / "link", tmp_path / "socket"
    os.mkfifo(fifo)
    link.symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(unix))
        before = sorted(tmp_path.iterdir())
        for what, match in {
            tmp_path: "is a directory, not a file",
            fifo: "is a named pipe, not a file",
            unix: "is a socket, not a file",
            Path("/dev/null"): "is a character device, not a file",
            link: "is a symbolic link to nothing",
            tmp_path / "missing" / "cold.img": f"there is no directory {tmp_path}/missing",
            tmp_path / "fifo" / "cold.img": "Not a directory",
            tmp_path / ("x" * 300): "File name too long",
        }.items():
            error = refused(make(what), match)
            assert str(what) in str(error)
        assert sorted(tmp_path.iterdir()) == before


def test_a_mistyped_device_does_not_become_a_file(make: Make) -> None:
    what = Path("/dev/coldpress-no-such-device")
    try:
        refused(make(what), "there is no such device")
        assert not what.exists()
    finally:
        what.unlink(missing_ok=True)


def test_a_link_to_a_file_is_followed_and_stays(make: Make, path: Path) -> None:
    path.touch()
    link = path.with_name("link")
    link.symlink_to(path)
    device = make(link)
    device.open()
    refused(make(path), "in use")
    device.write(0, buffer(noise(PAGE)))
    device.close()
    assert link.is_symlink()
    assert path.read_bytes() == b""


def test_a_directory_without_write_permission_is_named(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        refused(make(folder / "cold.img"), "can not open .*closed/cold.img: Permission denied")
    finally:
        os.seteuid(user)


def test_a_persistent_device_keeps_everything(make: Make, path: Path) -> None:
    content = SUPERBLOCK_MAGIC + noise(SIZE)
    path.write_bytes(content)
    for size in (SIZE // 2, len(content), 2 * SIZE):
        device = make(path, size)
        vars(device)["persistent"] = True
        device.open()
        device.close()
        assert path.read_bytes() == content.ljust(size, b"\0")


def test_ctrl_c_leaves_no_file(path: Path) -> None:
    script = """
        import sys
        from contextlib import closing
        from coldpress_plugins.devices.file import FileDevice
        device = FileDevice(path=sys.argv[1], size=1 << 20)
        device.open()
        with closing(device):
            print("ready", flush=True)
            while True:
                device.write(4096, bytes(4096))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert path.exists()
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(10)
    assert not path.exists()
