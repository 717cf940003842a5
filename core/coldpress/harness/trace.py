"""A recorded workload, replayed: which slot each touch of a page means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coldpress.harness.errors import InputError
from coldpress.harness.formats import detect

_HEAD = 4096
_MOST_PAGES = 1 << 26  # 256 GiB of 4 KiB: of more pages the numbering would take 7 GB


class Trace:
    """The page touches of a trace file, as accesses to slots.

    The file is read through once here, to number the slots and to find every fault of it before
    anything is stored, and once more for each iteration, record by record.

    Attributes: `name`, `total`, `slots`, `fill` as `Operations` has them.

    Parameters: `page_size` in bytes, into which requests are cut. Raises `InputError`.

    Notes: device addresses become slots in order of first touch; a trace that has slot numbers
    keeps them. The numbering is the one table here that grows with the trace, by its distinct
    pages, of which there may be 2**26. Not thread-safe.
    """

    fill = False

    def __init__(self, path: str, page_size: int) -> None:
        self._path = path
        self._page_size = page_size
        self._numbers: dict[int, int] = {}
        self._format = detect(path, self._head())
        self.name = f"{Path(path).name}, {self._format.name}"
        self.total = 0
        self.slots = 0
        for slot, _ in self._touches():
            self.total += 1
            if len(self._numbers) > _MOST_PAGES:
                raise InputError(f"--trace {path}: it touches more than {_MOST_PAGES} pages")
            if slot >= self.slots:
                self.slots = slot + 1
        if not self.total:
            raise InputError(f"--trace {path}: there is no request in it")

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        for touch in self._touches():
            if touch[0] >= self.slots:
                raise InputError(f"--trace {self._path}: it was changed while it was replayed")
            yield touch

    def _touches(self) -> Iterator[tuple[int, bool]]:
        numbers = self._numbers
        numbered = self._format.numbered
        with Path(self._path).open("rb") as file:
            for first, count, write in self._format.read(file, self._path, self._page_size):
                for page in range(first, first + count):
                    yield page if numbered else numbers.setdefault(page, len(numbers)), write

    def _head(self) -> bytes:
        path = Path(self._path)
        try:
            if path.exists() and not path.is_file():  # a pipe can not be read twice
                raise InputError(f"--trace {self._path}: it is not a file")
            with path.open("rb") as file:
                return file.read(_HEAD)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            why = getattr(error, "strerror", None) or error
            raise InputError(f"--trace {self._path}: {why}") from error
