"""The system calls that the os module does not have."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import struct

import coldpress

_libc = ctypes.CDLL(None, use_errno=True)
# musl has only the plain name, whose offsets are 64 bits wide there.
_fallocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_statx = getattr(_libc, "statx", None)

_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02  # fallocate(2), linux/falloc.h
_BLKROGET = 0x125E  # these four: linux/fs.h
_BLKSSZGET = 0x1268
_BLKDISCARD = 0x1277
_BLKZEROOUT = 0x127F
_AT_EMPTY_PATH = 0x1000
_STATX_DIOALIGN = 0x2000  # statx(2), from Linux 6.1
_STATX_SIZE = 256
_STATX_DIO_AT = 0x98  # stx_dio_mem_align, stx_dio_offset_align


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give a range of a regular file back to the file system; does nothing where it can not."""
    if _fallocate is not None:
        _fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, offset, length)


def discard_blocks(fd: int, offset: int, length: int) -> None:
    """Tell a block device that a range is not needed; does nothing where it can not."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _BLKDISCARD, struct.pack("QQ", offset, length))


def zero_blocks(fd: int, offset: int, length: int) -> None:
    """Make a range of a block device read as zeros. Raises `OSError`."""
    fcntl.ioctl(fd, _BLKZEROOUT, struct.pack("QQ", offset, length))


def logical_block_size(fd: int) -> int:
    """The unit of a block device's addresses in bytes. Raises `OSError`."""
    return _ask(fd, _BLKSSZGET)


def is_read_only(fd: int) -> bool:
    """Whether a block device takes no writes, though it can be opened for them."""
    return bool(_ask(fd, _BLKROGET))


def _ask(fd: int, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0])


def direct_alignment(fd: int) -> int | None:
    """What O_DIRECT on a regular file must be aligned to, in bytes.

    0 if the file can not be read and written directly, None if the system does not say.
    """
    if _statx is None:
        return None
    result = ctypes.create_string_buffer(_STATX_SIZE)
    if _statx(fd, b"", _AT_EMPTY_PATH, _STATX_DIOALIGN, result):
        return None
    (known,) = struct.unpack_from("I", result)
    memory, offset = struct.unpack_from("II", result, _STATX_DIO_AT)
    return max(memory, offset) if known & _STATX_DIOALIGN else None


class _PyBuffer(ctypes.Structure):
    """Py_buffer, part of CPython's stable ABI since 3.11."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


def address(buffer: coldpress.Buffer) -> int:
    """Where a buffer of at least one byte lies in memory."""
    try:
        # Three times as fast as the way below, but ctypes takes writable memory only.
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    except TypeError:
        view = _PyBuffer()
        _get_buffer(buffer, view, 0)
        try:
            return int(view.buf)
        finally:
            _release_buffer(view)
