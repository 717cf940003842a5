"""What a repair does to an image before a pipeline is opened on it.

What could not be read is read again: a device often gives a moment later what it did not give then,
and whatever is whole has to stay. What can not be read now is given up, and of blocks whose first
page is zeros only that is left which counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from coldpress.block import RECORD_BYTES, spoilt_header
from coldpress.errors import DeviceUnusable
from coldpress.flat import reserve
from coldpress.image import Persistent, read_persistent
from coldpress.rereading import read_again
from coldpress.roles.device import Device
from coldpress.scan import Progress, State
from coldpress.superblock import Superblock
from coldpress.survey import Look, Survey

_WRITTEN = (State.UNKNOWN, State.WIPED, State.REMAINS)


@attrs.frozen
class _Opened:
    """An open device, as an image to look at."""

    device: Device
    path: str
    block: bool

    @property
    def size(self) -> int:
        return self.device.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        there = max(0, self.size - offset)
        if there:
            self.device.read_into(offset, buffer[:there])
        buffer[there:] = bytes(len(buffer[there:]))


def is_needed(looks: Sequence[Look]) -> bool:
    """Whether there is anything to do before a pipeline is opened."""
    return any(look.unreadable or look.state in _WRITTEN for look in looks)


def prepare(
    device: Device,
    path: str,
    block: bool,
    found: Persistent,
    key: str,
    looks: Sequence[Look],
    progress: Progress,
) -> list[Look]:
    """Make an opening take of these blocks what counts, and nothing else; the looks that count.

    These are new ones if something in a block could not be read: that may have had the newest of
    slots for which records in other blocks count else. `path` and `block`, whether it is a block
    device, are the image's. Raises `DeviceError`, `DeviceUnusable` if it was changed since.
    """
    device.open()
    try:
        image = _Opened(device, path, block)
        now = read_persistent(image, key)
        if now.superblock.generation != found.superblock.generation:
            raise changed()
        if any(look.unreadable for look in looks):
            survey = Survey(image, now, progress)
            looks = [survey.look(look.number) for look in looks]
        for look in looks:
            if look.state == State.UNKNOWN:
                _give_up(device, found.superblock, look)
            elif look.state in _WRITTEN:
                _leave_what_counts(device, found.superblock, look)
        device.flush()
    finally:
        device.close()
    return list(looks)


def changed() -> DeviceUnusable:
    """The error that says that somebody else has opened the image meanwhile."""
    return DeviceUnusable("the image was changed since it was looked at: try again")


def _give_up(device: Device, one: Superblock, look: Look) -> None:
    """Write over what can not be read, so that the rest of the block can be salvaged.

    Disks often read a sector again that was written.
    """
    for at in look.unreadable:
        page = memoryview(reserve(one.page_size))
        if not at:
            spoilt_header(page, one.uuid)  # zeros would tell that the block was not used
        device.write(look.offset + at, page)


def _leave_what_counts(device: Device, one: Superblock, look: Look) -> None:
    """Write over what is behind a first page of zeros, but for the records that were found.

    An opening salvages all that it finds behind a spoilt header, remains too.
    """
    block = memoryview(reserve(one.block))
    read_again(device, look.offset, block)
    kept = memoryview(reserve(one.block))
    for seen in look.seen:
        start = seen.record.place
        end = start + RECORD_BYTES + seen.record.length
        kept[start:end] = block[start:end]
    device.write(look.offset + one.page_size, kept[one.page_size :])
    if look.seen:
        device.flush()  # with the header alone the remains would be back
        spoilt_header(kept, one.uuid)
        device.write(look.offset, kept[: one.page_size])
