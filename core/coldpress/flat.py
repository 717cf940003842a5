"""Flat typed buffers: the tables of coldpress hold no Python object per slot.

A table is an anonymous private mapping seen through a typed memoryview. It is zero to begin with,
and takes real memory only where it was touched, so a table may be as large as the slot numbers
are, and costs what is used. `resident` asks the operating system (mincore(2)) what that is.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
import sys
from typing import Literal

OS_PAGE = mmap.PAGESIZE
_WIDTH = {"B": 1, "H": 2, "I": 4, "Q": 8}

_libc = ctypes.CDLL(None, use_errno=True)
_mincore = getattr(_libc, "mincore", None)
_PAGES_ASKED = 1 << 16
_LOW_BIT = bytes(byte & 1 for byte in range(256))  # of an answer's byte, the only bit defined

# Python names it from 3.13 on. Without it the system would count address space as memory.
_SAME_NUMBERS = ("x86_64", "aarch64", "riscv64", "s390x")
_NORESERVE = getattr(
    mmap,
    "MAP_NORESERVE",
    0x4000 if sys.platform == "linux" and platform.machine() in _SAME_NUMBERS else 0,
)


def reserve(size: int) -> mmap.mmap:
    """`size` bytes of zeroed private memory that become real when they are touched.

    Raises `MemoryError` if the address space can not be reserved.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
    try:
        mapping = mmap.mmap(-1, max(size, 1), flags=flags)
    except OSError as error:
        raise MemoryError(f"can not reserve {size} bytes of address space: {error}") from error
    # A transparent huge page would make 2 MiB real where one 4 KiB page was touched.
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages has nothing to turn off
            mapping.madvise(mmap.MADV_NOHUGEPAGE)
    return mapping


def table(typecode: Literal["B", "H", "I", "Q"], count: int) -> memoryview:
    """A zeroed table of `count` unsigned integers; typecode is one of B, H, I, Q."""
    size = count * _WIDTH[typecode]
    return memoryview(reserve(size))[:size].cast(typecode)  # no mapping has a size of zero


def resident(*tables: memoryview) -> int:
    """How many bytes of these buffers are in RAM now, in whole OS pages."""
    return OS_PAGE * sum(map(_resident_pages, tables))


def _resident_pages(view: memoryview) -> int:
    size = view.nbytes
    if not size:
        return 0
    if _mincore is None:  # not asked for on this system: count all of it
        return -(-size // OS_PAGE)
    raw = memoryview(view).cast("B")  # the view may be compiled code's own, which has no cast
    start = ctypes.addressof(ctypes.c_char.from_buffer(raw))
    first = start - start % OS_PAGE
    left = -(-(start + size - first) // OS_PAGE)
    count = 0
    while left:  # in parts, because the answer itself takes a byte a page
        pages = min(left, _PAGES_ASKED)
        vector = ctypes.create_string_buffer(pages)
        if _mincore(ctypes.c_void_p(first), ctypes.c_size_t(pages * OS_PAGE), vector):
            raise OSError(ctypes.get_errno(), "mincore failed")
        count += vector.raw.translate(_LOW_BIT).count(1)
        first += pages * OS_PAGE
        left -= pages
    return count
