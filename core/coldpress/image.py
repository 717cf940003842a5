"""The image that a device was, looked at without a pipeline file and without being written."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Protocol

import attrs

from coldpress.errors import DeviceError, DeviceUnusable
from coldpress.flat import reserve
from coldpress.keyfile import read_key_file
from coldpress.layout import LARGEST_AREA, PERSISTENT_MAGIC, SUPERBLOCK_MAGIC
from coldpress.rereading import read_piecemeal
from coldpress.sealing import Sealing, WithoutKey
from coldpress.superblock import Ciphers, Superblock, SuperblockError, WrongKey, decode, newest_of

_UNIT = 4096  # what superblocks begin at a multiple of
_HEAD = 2 * LARGEST_AREA  # both superblocks end before, however large the device is


class Image:
    """A regular file or a block device, open for reading; a context.

    While it is open, no pipeline opens the file. Raises `DeviceUnusable` if it can not be opened,
    or a pipeline has it open.

    Attributes: `path`, as it was given; `size`, its bytes; `block`, whether it is a block device.

    Notes: thread-safe.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            mode = Path(path).stat().st_mode
            self.block = stat.S_ISBLK(mode)
            if not self.block and not stat.S_ISREG(mode):
                raise DeviceUnusable(f"{path} is neither a file nor a block device")
            flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_EXCL if self.block else 0)
            self._fd = os.open(path, flags)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.EBUSY:
                raise DeviceUnusable(f"{path} is in use by another process, or mounted") from error
            why = error.strerror if isinstance(error, OSError) else error
            raise DeviceUnusable(f"can not open {path}: {why}") from error
        try:
            if not self.block:
                fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            os.close(self._fd)
            raise DeviceUnusable(f"{path} is in use by another process") from error

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from this offset on; behind the end there are zeros.

        Raises `DeviceError`.
        """
        left = buffer
        try:
            while left.nbytes:
                count = os.preadv(self._fd, [left], offset)
                if not count:
                    left[:] = bytes(left.nbytes)
                    return
                left, offset = left[count:], offset + count
        except OSError as error:
            what = f"read of {left.nbytes} bytes at offset {offset}"
            raise DeviceError(f"{self.path}: {what} failed: {error.strerror}") from error

    def close(self) -> None:
        """Let go of it. Safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Image:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Source(Protocol):
    """What superblocks and blocks are read from: an image, or the device that is open on it."""

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def block(self) -> bool: ...

    def read_into(self, offset: int, buffer: memoryview) -> None: ...


@attrs.frozen
class Area:
    """One of the two places for a superblock.

    Attributes: `name`, A or B; `offset`; `superblock`, or None, and then `problem` says why, and
    `sealed`, whether it is but the key that does not open it.
    """

    name: str
    offset: int
    superblock: Superblock | None
    problem: str = ""
    sealed: bool = False


@attrs.frozen
class Persistent:
    """What the superblocks of a persistent image say.

    Attributes: `areas`, A and B; `superblock`, the one that counts; `sealing`, which opens what
    `key` is for.
    """

    areas: tuple[Area, Area]
    superblock: Superblock
    sealing: Sealing


def is_forgetful(image: Image) -> bool:
    """Whether the image was left by a pipeline that is not persistent, such as a killed one."""
    return bytes(_head(image, _UNIT)[: len(SUPERBLOCK_MAGIC)]) == SUPERBLOCK_MAGIC


def read_persistent(image: Source, key: str = "") -> Persistent:
    """The superblocks of a persistent image; `key` is the path of its key file, or nothing.

    Raises `DeviceUnusable` if this is none, or the key is not its own; `DeviceError` if both
    superblocks are damaged.
    """
    ciphers = _ciphers(key) if key else None
    head = _head(image)
    first = _area("A", head, 0, ciphers)
    one = first.superblock
    # One that is not encrypted, though there is a key, may be somebody else's: it can say anything.
    at = one.area if one and (one.encrypted or not key) else _find_second(head)
    second = _area("B", head, at, ciphers) if at else Area("B", 0, None, "not found")
    newest = newest_of([one.superblock for one in (first, second) if one.superblock], ciphers)
    if newest is None:
        magics = [bytes(head[at : at + len(PERSISTENT_MAGIC)]) for at in range(0, _HEAD, _UNIT)]
        if PERSISTENT_MAGIC not in magics:
            raise DeviceUnusable(f"{image.path} is no image of a persistent pipeline")
        if first.sealed or second.sealed:  # of one alone, it may be that one which was changed
            raise DeviceUnusable("the key is not the one that the image was written with")
        problems = f"A: {first.problem}; B: {second.problem}"
        raise DeviceError(
            f"{image.path}: both superblocks are damaged ({problems}), and without them it can not "
            "be told what the blocks have"
        )
    if ciphers is not None and not newest.encrypted:
        raise DeviceUnusable(f"{image.path} is not encrypted, but a key was given")
    sealing = Sealing(ciphers(newest.uuid) if ciphers else None)
    if newest.encrypted and ciphers is None:
        sealing = WithoutKey()
    return Persistent((_beside(first, newest), _beside(second, newest)), newest, sealing)


def _head(image: Source, size: int = _HEAD + LARGEST_AREA) -> memoryview:
    head = memoryview(reserve(size))
    try:
        image.read_into(0, head)
    except DeviceError:
        read_piecemeal(image, 0, head, _UNIT)
    return head


def _area(name: str, head: memoryview, at: int, ciphers: Ciphers | None) -> Area:
    try:
        return Area(name, at, decode(head[at:], ciphers))
    except WrongKey:
        return Area(name, at, None, "the key does not open it", sealed=True)
    except SuperblockError as error:
        return Area(name, at, None, str(error))


def _beside(area: Area, newest: Superblock) -> Area:
    """The same, but as damaged if it can not be of the same image."""
    if area.superblock is None or area.superblock.encrypted == newest.encrypted:
        return area
    return Area(area.name, area.offset, None, "of the two, one is encrypted")


def _find_second(head: memoryview) -> int:
    """Where superblock B is, if A does not say so: it tells itself; 0 if it is not found."""
    for at in range(_UNIT, LARGEST_AREA + 1, _UNIT):
        if bytes(head[at : at + len(PERSISTENT_MAGIC)]) == PERSISTENT_MAGIC:
            try:
                if decode(head[at:]).area == at:
                    return at
            except SuperblockError:
                continue
    return 0


def _ciphers(path: str) -> Ciphers:
    try:
        from coldpress.cipher import Cipher

        key = read_key_file(path)
    except ImportError as error:
        raise DeviceUnusable(
            "a key needs the package 'cryptography': pip install 'coldpress[encrypt]'"
        ) from error
    except ValueError as error:
        raise DeviceUnusable(str(error)) from error
    return lambda uuid: Cipher.of_key(key, uuid)
