"""Reads that are tried again: what a device can not read now, it often can a moment later."""

from __future__ import annotations

import contextlib
from typing import Protocol

from coldpress.block import head_bytes
from coldpress.errors import DeviceError

_RETRIES = 2  # before what can not be read counts as lost


class Readable(Protocol):
    """A device, or a file that was one."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from this offset on. Raises `DeviceError`."""


def read_again(image: Readable, offset: int, buffer: memoryview) -> None:
    """`image.read_into`, more than once if need be. Raises the last `DeviceError`."""
    for _ in range(_RETRIES):
        with contextlib.suppress(DeviceError):
            image.read_into(offset, buffer)
            return
    image.read_into(offset, buffer)


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
