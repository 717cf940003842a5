"""The anonymous memory of a live process, which is what a swap tier gets to see."""

from __future__ import annotations

import contextlib
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

from coldpress.flat import OS_PAGE
from coldpress.harness.corpus import Spool
from coldpress.harness.errors import InputError

_REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) [0-9a-f]+ \S+ (\d+) *(.*)")
_SPECIAL = ("[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]")
_IN_USE = 3 << 62  # pagemap: present, or swapped
_OF_A_FILE = 1 << 61  # pagemap: a file's page, or shared memory
_STEP = 4096  # OS pages looked at in one go


def add_process(spool: Spool, name: str, proc: Path = Path("/proc")) -> None:
    """Spool the anonymous pages of the process that `name`, "pid:N", stands for.

    These are the pages of its private mappings that are in RAM or in swap and are not a file's.
    Where the kernel shows no pagemap, they are all pages of private mappings without a file. The
    process runs on meanwhile: a page that goes away is skipped. Raises `InputError`.

    Source: Documentation/admin-guide/mm/pagemap.rst and proc(5).
    """
    number = name.removeprefix("pid:")
    if not (number.isascii() and number.isdigit()):
        raise InputError(f"--input {name}: expected pid: and a process number, such as pid:1234")
    home = proc / number
    pagemap = None
    try:
        regions = (home / "maps").read_text(errors="surrogateescape").splitlines()
        memory = os.open(home / "mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(f"--input {name}: there is no such process") from None
    except OSError as error:
        raise InputError(f"--input {name}: can not read it: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):  # some sandboxes have none
            pagemap = os.open(home / "pagemap", os.O_RDONLY | os.O_CLOEXEC)
        for line in regions:
            for start, end in _private(line, with_files=pagemap is not None):
                _add_region(spool, name, memory, pagemap, start, end)
    finally:
        os.close(memory)
        if pagemap is not None:
            os.close(pagemap)


def _private(line: str, with_files: bool) -> Iterator[tuple[int, int]]:
    """The address range of a line of maps, if it is a readable private mapping."""
    match = _REGION.fullmatch(line)
    if not match:
        return
    start, end, mode, inode, label = match.groups()
    wanted = mode[0] == "r" and mode[3] == "p" and label not in _SPECIAL
    if wanted and (with_files or inode == "0"):
        yield int(start, 16), int(end, 16)


def _add_region(
    spool: Spool, name: str, memory: int, pagemap: int | None, start: int, end: int
) -> None:
    page_size = spool.page_size
    step = max(_STEP * OS_PAGE // page_size, 1) * page_size
    for begin in range(start, end, step):
        stop = min(begin + step, end)
        for first, last in _runs(pagemap, begin, stop, page_size):
            data = _read(memory, first, last)
            if first + len(data) < last:  # a page went away: from it on one by one
                data = data[: len(data) - len(data) % page_size]
            spool.add_bytes(data)
            for page in range(first + len(data), last, page_size):
                if data := _read(memory, page, min(page + page_size, last)):
                    spool.add_bytes(data)
                else:
                    spool.skip(f"{name}, address {page:#x}: can not be read")


def _runs(pagemap: int | None, begin: int, stop: int, page_size: int) -> Iterator[tuple[int, int]]:
    """The address ranges of consecutive pages that hold anything, ends cut to `stop`."""
    if pagemap is None:
        yield begin, stop
        return
    first_entry = begin // OS_PAGE * 8
    flags = array("Q", _whole(os.pread(pagemap, (stop - begin) // OS_PAGE * 8, first_entry)))
    if not any(flags):
        return
    per_page = max(page_size // OS_PAGE, 1)
    run = -1
    for at in range(0, len(flags), per_page):
        address = begin + at * OS_PAGE
        used = any(f & _IN_USE and not f & _OF_A_FILE for f in flags[at : at + per_page])
        if used and run < 0:
            run = address
        elif not used and run >= 0:
            yield run, address
            run = -1
    if run >= 0:
        yield run, stop


def _whole(entries: bytes) -> bytes:
    return entries[: len(entries) - len(entries) % 8]


def _read(memory: int, first: int, last: int) -> bytes:
    """What can be read of the range before the first page that can not; maybe nothing."""
    try:
        return os.pread(memory, last - first, first)
    except (OSError, OverflowError):
        return b""
