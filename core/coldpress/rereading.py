"""Reads that are tried again: what a device can not read now, it often can a moment later."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from coldpress.block import head_bytes
from coldpress.errors import DeviceError

PAUSES = (0.002, 0.02)
"""Seconds until a read that failed is tried again, and once more. Then it has failed."""


class Readable(Protocol):
    """A device, or a file that was one."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from this offset on. Raises `DeviceError`."""


class Tally:
    """Counts reads that failed.

    Attributes: `retries`, reads that were tried once more; `errors`, those that failed for good.

    Notes: thread-safe.
    """

    def __init__(self) -> None:
        self.retries = 0
        self.errors = 0
        self._lock = threading.Lock()  # a read may be done with the pipeline's lock, or without

    def count(self, retries: int, errors: int) -> None:
        """So many more."""
        with self._lock:
            self.retries += retries
            self.errors += errors


def read_again(
    image: Readable,
    offset: int,
    buffer: memoryview,
    tally: Tally | None = None,
    pauses: Sequence[float] = PAUSES,
) -> None:
    """`image.read_into`, more than once if need be. Raises the last `DeviceError`."""
    for pause in pauses:
        try:
            image.read_into(offset, buffer)
            return
        except DeviceError:
            if tally is not None:
                tally.count(1, 0)
            time.sleep(pause)
    try:
        image.read_into(offset, buffer)
    except DeviceError:
        if tally is not None:
            tally.count(0, 1)
        raise


def read_head_pages(image: Readable, offset: int, block: memoryview, size: int) -> memoryview:
    """The pages, of `size` bytes, of the block at this offset that have its header and records.

    At the start of `block`, which is as large as a block; of one that has no header the first page.
    """
    pages = block[:size]
    read_again(image, offset, pages)
    more = head_bytes(pages)
    if more > size:
        pages = block[: min(more + -more % size, len(block))]
        read_again(image, offset, pages)
    return pages


def read_piecemeal(
    image: Readable, offset: int, buffer: memoryview, size: int
) -> dict[int, DeviceError]:
    """Fill the buffer by parts of `size` bytes: often it is but one sector that can not be read.

    What can not be is zeros; why, by its place in the buffer.
    """
    bad = {}
    for at in range(0, len(buffer), size):
        part = buffer[at : at + size]
        try:
            read_again(image, offset + at, part)
        except DeviceError as error:
            bad[at] = error
            part[:] = bytes(len(part))
    return bad


def unread(bad: Mapping[int, DeviceError], start: int, end: int, size: int) -> DeviceError | None:
    """Why something from `start` to `end` is not known; None if all of it could be read.

    `bad` is what `read_piecemeal` has said of parts of this `size`.
    """
    return next((why for at, why in bad.items() if at < end and start < at + size), None)
