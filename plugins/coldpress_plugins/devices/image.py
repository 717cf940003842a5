"""Getting hold of the file or block device at a path, and letting go of it without a trace."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

import coldpress
from coldpress.flat import OS_PAGE
from coldpress.layout import LARGEST_AREA, PERSISTENT_MAGIC, SUPERBLOCK_MAGIC
from coldpress.superblock import HEAD_BYTES, device_bytes
from coldpress_plugins.devices import linux

HEAD = 128 << 10
"""So many bytes at the start are looked at to tell whose data this is."""

CLOSED = (1 << 31) - 1
"""A descriptor that no process has: every call on it is EBADF, where -1 may be a ValueError."""

_FLAGS = os.O_RDWR | os.O_CLOEXEC


class Descriptor(int):
    """An open file's number, closed with the last reference to it.

    A system call in another thread holds such a reference while it runs. Were `close` to close the
    number at once, that call could begin after the number had been given to another file, and
    write into that.
    """

    def __del__(self) -> None:
        with contextlib.suppress(OSError):  # what must not be lost was flushed before
            os.close(self)


@attrs.define(eq=False)
class Image:
    """A regular file, locked against others, or a block device, held exclusively.

    Attributes:
        label: what errors call it.
        fd: the only lasting reference to the `Descriptor`; `CLOSED` after `close`.
        path: absolute, because the current directory may change; None: the file has no name.
        block: whether it is a block device.
        created: whether the file was not there before.
        kept: how many bytes the device had that a persistent pipeline has left here, 0 if its
            superblocks do not tell; None if none has left anything.

    Notes:
        `discard` is thread-safe; the other methods are for `open` and `close` of the device.
    """

    label: str
    fd: int
    path: Path | None = None
    block: bool = False
    created: bool = False
    kept: int | None = None

    def why_short(self, size: int) -> str | None:
        """What is wrong if a persistent pipeline has left a file of less than `size` bytes.

        To extend it would make zeros of what was behind its end, as if it had never been written.
        """
        there = os.lseek(self.fd, 0, os.SEEK_END)
        if self.block or self.kept is None or there >= size:
            return None
        if 0 < self.kept <= there:
            return (
                f"{self.label} has {there} bytes, but the size option says {size}: what a "
                "persistent pipeline keeps can not grow; format = true gives it up"
            )
        had = f"{self.kept} that it had" if self.kept else f"{size} of the size option"
        return (
            f"{self.label} has {there} bytes, and not the {had}: what was behind them is lost; "
            "`coldpress fsck --repair` gives that up, format = true all of it"
        )

    def resize(self, size: int, keep: bool) -> None:
        """Make room for `size` bytes, sparse; drop the contents unless `keep`.

        Raises `DeviceError`, also if a block device is smaller than `size`.
        """
        there = os.lseek(self.fd, 0, os.SEEK_END)
        if self.block:
            if there < size:
                raise coldpress.DeviceError(
                    f"{self.label} has {there} bytes, but the size option says {size}"
                )
            return
        if there < size or not keep:
            try:
                os.ftruncate(self.fd, size)  # first, because it may fail and then changes nothing
            except (OSError, OverflowError) as error:
                raise coldpress.DeviceError(
                    f"{self.label} can not be {size} bytes long: {error}"
                ) from error
        if there and not keep:
            linux.punch_hole(self.fd, 0, size)

    def make_durable(self) -> None:
        """The file, its size and its name are there after a crash. Raises `OSError`."""
        os.fsync(self.fd)
        if self.path is not None and not self.block:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self, offset: int, length: int) -> None:
        """Give a range back to whatever lies below; never fails."""
        (linux.discard_blocks if self.block else linux.punch_hole)(self.fd, offset, length)

    def forget(self, size: int) -> None:
        """Leave nothing of the `size` bytes behind. Raises `OSError`."""
        if not self.block:
            try:
                os.ftruncate(self.fd, 0)
            finally:
                self.remove()
            return
        # Discarded blocks may read as anything, and this device must be taken for wiped, not for
        # someone else's, when it is opened again.
        fd = int(self.fd)  # a plain number, for an error's traceback would keep a `Descriptor` open
        unit = linux.logical_block_size(fd)
        head, end = (edge // unit * unit for edge in (min(HEAD, size), size))
        linux.discard_blocks(fd, head, end - head)
        linux.zero_blocks(fd, 0, head)

    def remove(self) -> None:
        """Take away the name of a file that was created here. Raises `OSError`."""
        if self.path is None or not self.created:
            return
        with contextlib.suppress(FileNotFoundError):
            # Someone may have moved the file away and put another one in its place.
            if os.path.samestat(self.path.lstat(), os.fstat(self.fd)):
                self.path.unlink()

    def close(self) -> None:
        """Drop the descriptor; a system call that is under way ends first."""
        self.fd = CLOSED

    def abandon(self) -> None:
        """Undo the open, as far as can be."""
        with contextlib.suppress(OSError):
            self.remove()
        self.close()


def unnamed_image() -> Image:
    """A temporary file without a name, gone with its descriptor. Raises `DeviceError`."""
    label = "a temporary file"
    with explained(label), tempfile.TemporaryFile(buffering=0) as file:
        return Image(label, Descriptor(os.dup(file.fileno())))


def named_image(path: str, *, blocks: bool, may_be_kept: bool = False) -> Image:
    """The file or, with `blocks`, the block device at `path`; a file is created if none is there.

    `may_be_kept`: it may be one that a persistent pipeline has left. Raises `DeviceError` if it can
    not be opened, is in use, or holds what coldpress did not write, and leaves no trace then.
    """
    where = Path(path).absolute()
    with explained(path):
        image = _create(path, where) or _existing(path, where, blocks)
        try:
            if not image.block:  # O_EXCL keeps others out of those
                _lock(image, where)
            if not image.created:
                _refuse_foreign(image, may_be_kept)
        except BaseException:
            image.abandon()
            raise
    return image


@contextlib.contextmanager
def explained(label: str) -> Iterator[None]:
    """An `OSError` while the medium `label` is opened becomes a `DeviceError`."""
    try:
        yield
    except OSError as error:
        raise coldpress.DeviceError(f"can not open {label}: {error.strerror}") from error


def _create(label: str, where: Path) -> Image | None:
    if _is_device_folder(where.parent):
        if where.exists():
            return None
        # It would become a file in RAM under the mistyped name of a device.
        raise coldpress.DeviceError(f"can not open {label}: there is no such device")
    try:
        fd = Descriptor(os.open(where, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return None
    except FileNotFoundError as error:
        raise coldpress.DeviceError(
            f"can not create {label}: there is no directory {where.parent}"
        ) from error
    return Image(label, fd, where, created=True)


def _is_device_folder(folder: Path) -> bool:
    real = Path(os.path.realpath(folder))
    if not real.is_relative_to("/dev") or not real.exists():
        return False
    # /dev/shm and its like are file systems of their own, and fit for files.
    return real.stat().st_dev == Path("/dev").stat().st_dev


def _existing(label: str, where: Path, blocks: bool) -> Image:
    try:
        mode = where.stat().st_mode  # looked at first: to open a device may set it going
    except FileNotFoundError as error:
        if not where.is_symlink():
            raise  # removed a moment ago
        raise coldpress.DeviceError(f"{label} is a symbolic link to nothing") from error
    block = stat.S_ISBLK(mode)
    if block and not blocks:
        raise coldpress.DeviceError(f'{label} is a block device; use = "nvme" takes those')
    if not block and not stat.S_ISREG(mode):
        raise coldpress.DeviceError(f"{label} is {_kind(mode)}, not a file")
    try:
        # On a block device O_EXCL is refused while it is mounted or another one holds it so, and
        # refuses them. There flock would be wrong: udev takes it for a sign to keep away.
        fd = Descriptor(os.open(where, _FLAGS | (os.O_EXCL if block else 0)))
    except OSError as error:
        if block and error.errno == errno.EBUSY:
            raise coldpress.DeviceError(
                f"{label} is in use: mounted, or held by another process"
            ) from error
        raise
    return Image(label, fd, where, block=block)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a character device"


def _lock(image: Image, where: Path) -> None:
    try:
        fcntl.flock(image.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder before us may have removed the file between our open and our lock.
        ours = os.path.samestat(where.stat(), os.fstat(image.fd))
    except (BlockingIOError, FileNotFoundError):
        ours = False
    if not ours:
        image.created = False  # whoever has it now decides what becomes of it
        raise coldpress.DeviceError(f"{image.label} is in use by another process")


def _is_zero(fd: int, start: int) -> bool:
    """Whether a file holds only zeros from `start` on; its holes are not read."""
    while True:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data
                return True
            raise
        data = os.pread(fd, 1 << 20, start)
        if not data or data.count(0) != len(data):
            return not data
        start += len(data)


def _head(fd: int, at: int) -> bytes:
    """What may be a superblock's; nothing if it can not be read, for then the other one counts."""
    try:
        return os.pread(fd, HEAD_BYTES, at)
    except OSError:
        return b""


def _kept(fd: int) -> int | None:
    """`Image.kept`, from superblock A or, if that is damaged, from B, wherever it is."""
    kept = None
    for at in range(0, LARGEST_AREA + 1, OS_PAGE):
        head = _head(fd, at)
        if head.startswith(PERSISTENT_MAGIC):
            kept = device_bytes(memoryview(head))
            if kept:
                break
    return kept


def _refuse_foreign(image: Image, may_be_kept: bool) -> None:
    fd = int(image.fd)  # a plain number: the reader keeps it, and the error's traceback the reader
    if _head(fd, 0).startswith(SUPERBLOCK_MAGIC):
        return
    image.kept = _kept(fd)
    if image.kept is not None:
        if may_be_kept:
            return
        raise coldpress.DeviceError(
            f"{image.label} holds what a persistent pipeline keeps; persistent = true opens it, "
            "format = true gives it up"
        )
    with open(fd, "rb", closefd=False) as reader:
        head = reader.read(HEAD)
    if head.count(0) == len(head) and (image.block or _is_zero(fd, HEAD)):
        return
    remedy = "wipe it with blkdiscard or wipefs" if image.block else "remove it"
    raise coldpress.DeviceError(
        f"{image.label} holds data that coldpress did not write;"
        f" choose another path, or {remedy} first"
    )
