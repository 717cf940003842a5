"""Flat typed buffers: the tables of coldpress hold no Python object per slot.

A table is an anonymous private mapping seen through a typed memoryview. It is zero to begin with,
and takes real memory only where it was touched, so a table may be as large as the slot numbers
are, and costs what is used. `resident` asks the operating system (mincore(2)) what that is.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable

OS_PAGE = mmap.PAGESIZE
_WIDTH = {"B": 1, "H": 2, "I": 4, "Q": 8}

_libc = ctypes.CDLL(None, use_errno=True)
_mincore = getattr(_libc, "mincore", None)


def reserve(size: int) -> mmap.mmap:
    """`size` bytes of zeroed private memory that become real when they are touched.

    Raises `MemoryError` if the address space can not be reserved.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        mapping = mmap.mmap(-1, max(size, 1), flags=flags)
    except OSError as error:
        raise MemoryError(f"can not reserve {size} bytes of address space: {error}") from error
    # A transparent huge page would make 2 MiB real where one 4 KiB page was touched.
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        try:
            mapping.madvise(mmap.MADV_NOHUGEPAGE)
        except OSError:
            pass  # a kernel built without huge pages has nothing to turn off
    return mapping


def table(typecode: str, count: int) -> memoryview:
    """A zeroed table of `count` unsigned integers; typecode is one of B, H, I, Q."""
    return memoryview(reserve(count * _WIDTH[typecode])).cast(typecode)


def resident(*tables: memoryview) -> int:
    """How many bytes of these buffers are in RAM now, in whole OS pages."""
    return sum(OS_PAGE * sum(_residency(one)) for one in tables)


def _residency(view: memoryview) -> Iterable[int]:
    size = view.nbytes
    if not size:
        return ()
    pages = -(-size // OS_PAGE)
    if _mincore is None:  # not asked for on this system: count all of it
        return [1] * pages
    raw = view.cast("B")
    start = ctypes.addressof(ctypes.c_char.from_buffer(raw))
    first = start - start % OS_PAGE
    pages = -(-(start + size - first) // OS_PAGE)
    vector = ctypes.create_string_buffer(pages)
    if _mincore(ctypes.c_void_p(first), ctypes.c_size_t(pages * OS_PAGE), vector):
        raise OSError(ctypes.get_errno(), "mincore failed")
    return (byte & 1 for byte in vector.raw)
