"""Devices on media that only root can make: loop block devices, and small mounted file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import images
import pytest
from conftest import require
from contents import holds, load
from media import PAGE, refused
from verdicts import Capture, fsck, kinds

from coldpress import Device, DeviceError, DeviceFull, PoolFull
from coldpress.layout import SUPERBLOCK_MAGIC
from coldpress.testing.device import DeviceContract
from coldpress.testing.pages import page, same
from coldpress.testing.ranges import SIZE, buffer, noise, read
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.nvme import NvmeDevice

CAPACITY = 8 << 20
HEAD = 128 << 10  # what is looked at to tell whose data it is
os.environ["PATH"] += ":/usr/sbin:/sbin"  # where an ordinary user's PATH does not look


def root(*command: str | Path) -> str:
    """Run what only root may run; without the means the test is skipped, but in CI it fails."""
    require(os.geteuid() == 0, "needs root")
    require(shutil.which(command[0]) is not None, f"needs {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


def undo(*command: str | Path) -> None:
    subprocess.run(command, check=True)


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def backing(tmp_path: Path) -> Path:
    path = tmp_path / "backing"
    path.touch()
    os.truncate(path, CAPACITY)
    return path


Attach = Callable[..., Path]


@pytest.fixture
def attach(backing: Path, cleanup: ExitStack) -> Attach:
    """Makes a block device of the backing file."""

    def loop(*options: str) -> Path:
        device = Path(root("losetup", "--find", "--show", *options, backing))
        cleanup.callback(undo, "losetup", "--detach", device)
        return device

    return loop


@pytest.fixture
def mounted(tmp_path: Path, cleanup: ExitStack) -> Callable[..., Path]:
    def mount(kind: str, what: str | Path, *options: str) -> Path:
        folder = tmp_path / "mounted"
        folder.mkdir()
        root("mount", "-t", kind, *options, what, folder)
        cleanup.callback(undo, "umount", folder)
        return folder

    return mount


@pytest.fixture
def opened(cleanup: ExitStack) -> Callable[[Device], Device]:
    def opened(device: Device) -> Device:
        device.open()
        cleanup.callback(device.close)
        return device

    return opened


class TestContractOnABlockDevice(DeviceContract):
    plugin = NvmeDevice

    @pytest.fixture(autouse=True)
    def media(self, attach: Attach, backing: Path) -> None:
        self.path, self.backing = attach(), backing

    def given(self, scratch: Path) -> dict[str, Any]:
        return {"path": str(self.path)}

    def outside(self, device: Device, offset: int, length: int) -> bytes:
        return self.backing.read_bytes()[offset : offset + length]

    def real_bytes(self, device: Device) -> int:
        return self.backing.stat().st_blocks * 512


@pytest.mark.parametrize("sector", [512, 4096])
def test_the_alignment_is_the_logical_block_size(
    attach: Attach, backing: Path, opened: Callable[[Device], Device], sector: int
) -> None:
    device = opened(NvmeDevice(path=str(attach(f"--sector-size={sector}")), size=SIZE))
    assert device.alignment == sector
    data = buffer(noise(sector))
    device.write(sector, data)
    device.flush()
    assert backing.read_bytes()[: 3 * sector] == bytes(sector) + bytes(data) + bytes(sector)
    assert read(device, sector, sector) == data
    with pytest.raises(ValueError, match=f"must be multiples of {sector}"):
        device.read_into(sector // 2, buffer(sector))


def test_a_device_smaller_than_the_size_is_refused(attach: Attach, backing: Path) -> None:
    loop = attach()
    error = refused(NvmeDevice(path=str(loop), size=CAPACITY + 512), "size option")
    assert str(error) == f"{loop} has {CAPACITY} bytes, but the size option says {CAPACITY + 512}"
    assert backing.stat().st_size == CAPACITY


def test_all_of_the_device_can_be_used(
    attach: Attach, backing: Path, opened: Callable[[Device], Device]
) -> None:
    device = opened(NvmeDevice(path=str(attach()), size=CAPACITY))
    device.write(CAPACITY - PAGE, buffer(noise(PAGE)))
    device.flush()
    assert backing.read_bytes()[-PAGE:] == noise(PAGE)


def test_a_second_opener_is_refused(attach: Attach, opened: Callable[[Device], Device]) -> None:
    loop = attach()
    opened(NvmeDevice(path=str(loop), size=SIZE))
    refused(NvmeDevice(path=str(loop), size=SIZE), "in use: mounted, or held by another process")


def test_a_mounted_device_is_refused_and_so_is_its_file_system(
    attach: Attach, backing: Path, mounted: Callable[..., Path]
) -> None:
    loop = attach()
    root("mkfs.ext4", "-q", loop)
    before = backing.read_bytes()
    error = refused(NvmeDevice(path=str(loop), size=SIZE), "coldpress did not write")
    assert str(error) == (
        f"{loop} holds data that coldpress did not write;"
        " choose another path, or wipe it with blkdiscard or wipefs first"
    )
    assert backing.read_bytes() == before
    mounted("ext4", loop)
    refused(NvmeDevice(path=str(loop), size=SIZE), "in use: mounted, or held by another process")


@pytest.mark.parametrize("at", [0, HEAD - 1])
def test_any_byte_of_someone_elses_head_is_respected(
    attach: Attach, backing: Path, at: int
) -> None:
    content = bytearray(CAPACITY)
    content[at] = 1
    backing.write_bytes(content)
    refused(NvmeDevice(path=str(attach()), size=SIZE), "coldpress did not write")
    assert backing.read_bytes() == content


def test_close_wipes_what_it_had_and_nothing_more(attach: Attach, backing: Path) -> None:
    # `size` bytes are coldpress's; what comes after them may be anyone's.
    backing.write_bytes(SUPERBLOCK_MAGIC + noise(CAPACITY - len(SUPERBLOCK_MAGIC)))
    after = backing.read_bytes()[SIZE:]
    loop = attach()
    device = NvmeDevice(path=str(loop), size=SIZE)
    device.open()
    device.write(0, buffer(noise(SIZE)))
    device.close()
    root("blockdev", "--flushbufs", loop)
    content = backing.read_bytes()
    assert content[:SIZE] == bytes(SIZE)
    assert content[SIZE:] == after
    device.open()
    device.close()


def test_it_opens_again_when_discard_left_the_data(
    attach: Attach, backing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coldpress_plugins.devices.linux.discard_blocks", lambda *_: None)
    device = NvmeDevice(path=str(attach()), size=SIZE)
    device.open()
    device.write(0, buffer(noise(SIZE)))
    device.close()
    device.open()
    device.close()
    assert backing.read_bytes()[HEAD:SIZE] == noise(SIZE)[HEAD:]


def test_a_wipe_that_fails_is_told_and_the_device_released(attach: Attach) -> None:
    loop = attach()
    device = NvmeDevice(path=str(loop), size=SIZE)
    device.open()
    root("blockdev", "--setro", loop)
    with pytest.raises(DeviceError, match="the contents could not be removed") as caught:
        device.close()
    root("blockdev", "--setrw", loop)
    device.open()  # it was released, though the error and its frames live on
    del caught
    device.close()


def test_a_read_only_device_is_an_error(attach: Attach) -> None:
    loop = attach("--read-only")
    refused(NvmeDevice(path=str(loop), size=SIZE), f"{loop} is read-only")


def test_a_discard_that_the_device_refuses_is_no_error(
    attach: Attach, opened: Callable[[Device], Device]
) -> None:
    loop = attach()
    device = opened(NvmeDevice(path=str(loop), size=SIZE))
    device.write(0, buffer(noise(SIZE)))
    root("blockdev", "--setro", loop)
    device.discard(0, SIZE)
    root("blockdev", "--setrw", loop)
    assert read(device, 0, SIZE) == noise(SIZE)


def test_a_file_device_points_to_nvme(attach: Attach) -> None:
    refused(FileDevice(path=str(attach()), size=SIZE), 'is a block device; use = "nvme"')


def test_a_link_to_a_block_device_is_followed(
    attach: Attach, tmp_path: Path, backing: Path
) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(attach())
    device = NvmeDevice(path=str(link), size=SIZE)
    device.open()
    device.write(HEAD, buffer(noise(PAGE)))
    device.flush()
    assert backing.read_bytes()[HEAD : HEAD + PAGE] == noise(PAGE)
    device.close()
    assert link.is_symlink()


def fill(device: Device) -> int:
    """Write pages until one fails, each with its own contents; returns where."""
    offset = -PAGE

    def write_on() -> None:
        nonlocal offset
        for offset in range(0, device.size, PAGE):
            device.write(offset, buffer(noise(PAGE, offset)))

    with pytest.raises(DeviceFull, match="No space left on device") as caught:
        write_on()
    assert f"write of {PAGE} bytes at offset {offset} failed" in str(caught.value)
    return offset


def test_a_full_file_system_is_device_full(
    mounted: Callable[..., Path], opened: Callable[[Device], Device]
) -> None:
    path = mounted("tmpfs", "none", "-o", "size=1m") / "cold.img"
    device = opened(FileDevice(path=str(path), size=CAPACITY))
    end = fill(device)
    assert end > SIZE // 2
    for offset in range(0, end, PAGE):
        assert read(device, offset, PAGE) == noise(PAGE, offset)
    device.discard(0, 16 * PAGE)  # makes room again
    device.write(end, buffer(noise(PAGE)))
    assert path.read_bytes()[end : end + PAGE] == noise(PAGE)


def test_a_full_disk_is_device_full_with_direct_io(
    attach: Attach, mounted: Callable[..., Path], opened: Callable[[Device], Device]
) -> None:
    loop = attach()
    root("mkfs.ext4", "-q", "-O", "^has_journal", loop)
    path = mounted("ext4", loop) / "cold.img"
    device = opened(NvmeDevice(path=str(path), size=4 * CAPACITY))
    end = fill(device)
    assert end > CAPACITY // 2
    assert all(read(device, at, PAGE) == noise(PAGE, at) for at in range(0, end, 64 * PAGE))


def test_a_persistent_image_on_a_full_file_system_opens_and_works_when_there_is_room(
    mounted: Callable[..., Path], capsys: Capture
) -> None:
    folder = mounted("tmpfs", "none", "-o", "size=2m")
    tables: dict[str, Any] = {"slots": 1024, "device": {"size": "8MiB"}}
    image = partial(images.opened, folder / "cold.img", **tables)
    old = {slot: page("random", slot, 1) for slot in range(50)}
    with image() as pipeline:
        for slot, data in old.items():
            pipeline.store(slot, data)
    other = folder / "other"
    free = os.statvfs(folder).f_bfree
    other.write_bytes(b"x" * (free - 250) * PAGE)  # room for some blocks, and for half of one
    pipeline = image()
    new = {slot: page("random", slot, 1) for slot in range(50, 1000)}
    with pytest.raises(PoolFull, match="No space left on device"):
        for slot, data in new.items():
            pipeline.store(slot, data)
    for fails in (pipeline.sync, pipeline.close):
        with pytest.raises(DeviceFull, match="No space left on device"):
            fails()
    assert kinds(fsck(folder / "cold.img", capsys)[1]) == ["torn"]
    with image() as pipeline:
        holds(pipeline, old, old)
        kept = {slot: data for slot in new if (data := load(pipeline, slot)) is not None}
        assert kept
        assert all(same(data, new[slot]) for slot, data in kept.items())
    with image() as pipeline:
        with pytest.raises(PoolFull, match="No space left on device"):
            for slot, data in new.items():
                pipeline.store(slot, data)
        with pytest.raises(DeviceFull, match="No space left on device"):
            pipeline.sync()
        holds(pipeline, old | kept, old.keys() | kept.keys())
        other.unlink()
        for slot in range(50, 100):
            pipeline.store(slot, new[slot])
    with image() as pipeline:
        holds(pipeline, old | kept | new, range(100))


def test_a_file_system_that_refuses_direct_io(mounted: Callable[..., Path]) -> None:
    path = mounted("ramfs", "none") / "cold.img"
    refused(NvmeDevice(path=str(path), size=SIZE), 'has no O_DIRECT; use = "file" instead')
    assert not path.exists()
