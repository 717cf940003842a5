"""The pages of a run, in an unnamed temporary file."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from types import TracebackType
from typing import Protocol

from coldpress.errors import ColdpressError

_CHUNK = 1 << 20


class Readable(Protocol):
    """An unbuffered binary stream."""

    def readinto(self, buffer: bytearray, /) -> int | None: ...


class Spool:
    """Takes a snapshot of the inputs, because files and process memory change under a run.

    Every stream begins on a new page; its last, partial page is filled up with zeros. The file has
    no name, so nothing is left of it however the process ends.

    Attributes: `pages`, spooled so far; `skipped`, unreadable files, or pages of a process, that
    were left out, and `first_skipped`, what the first of them was.

    Notes: not thread-safe.
    """

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self.pages = 0
        self.skipped = 0
        self.first_skipped = ""
        self._chunk = bytearray(_CHUNK)
        try:
            self._file = tempfile.TemporaryFile(prefix="coldpress-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise ColdpressError(f"can not make a temporary file: {error}") from error

    def add(self, stream: Readable) -> None:
        """Take all of a stream; if it raises `OSError`, take nothing of it and pass that on."""
        length = 0
        try:
            while count := stream.readinto(self._chunk):
                self._write(memoryview(self._chunk)[:count])
                length += count
        except OSError:
            self._file.truncate(self.pages * self.page_size)
            self._file.seek(0, os.SEEK_END)
            raise
        self._end(length)

    def add_bytes(self, data: bytes) -> None:
        """Take these bytes."""
        self._write(memoryview(data))
        self._end(len(data))

    def skip(self, what: str) -> None:
        """Count something that could not be read."""
        self.skipped += 1
        self.first_skipped = self.first_skipped or what

    def _end(self, length: int) -> None:
        self._write(memoryview(bytes(-length % self.page_size)))
        self.pages += -(-length // self.page_size)

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self._file.write(data) :]
            except OSError as error:  # not the input's fault, so not to be skipped like it
                where = tempfile.gettempdir()
                raise ColdpressError(f"can not spool the input in {where}: {error}") from error

    def corpus(self) -> Corpus:
        """What was taken, which must be at least one page; the spool is closed."""
        with self._file:
            mapping = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return Corpus(mapping, self.page_size, self.skipped, self.first_skipped)

    def close(self) -> None:
        """Drop what was taken. Safe to call twice."""
        self._file.close()


class Corpus:
    """The input's pages: `corpus[i]` is a read-only view of page `i`.

    Attributes: `page_size` in bytes; `skipped` and `first_skipped` as the spool counted them.

    Notes: thread-safe, being read-only. Views that are still about keep the memory alive after
    `close`.
    """

    def __init__(
        self, mapping: mmap.mmap, page_size: int, skipped: int = 0, first_skipped: str = ""
    ) -> None:
        self.page_size = page_size
        self.skipped = skipped
        self.first_skipped = first_skipped
        self._mapping = mapping
        self._view = memoryview(mapping)

    def __len__(self) -> int:
        return len(self._view) // self.page_size

    def __getitem__(self, index: int) -> memoryview:
        return self.run(index, 1)

    def run(self, first: int, count: int) -> memoryview:
        """`count` pages from page `first` on. Raises `IndexError` outside the corpus."""
        if first < 0 or first + count > len(self):
            raise IndexError(f"pages {first} to {first + count} of a corpus of {len(self)}")
        return self._view[first * self.page_size : (first + count) * self.page_size]

    def close(self) -> None:
        """Let go of the memory. Safe to call twice."""
        self._view.release()
        with contextlib.suppress(BufferError):  # the last view to go frees the mapping then
            self._mapping.close()

    def __enter__(self) -> Corpus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
