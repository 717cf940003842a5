"""Making a block as if it had never been written, on a medium that may have no room left."""

from __future__ import annotations

from coldpress.errors import DeviceError
from coldpress.flat import reserve
from coldpress.opendevice import OpenDevice


def void(home: OpenDevice, offset: int, block: int, page_size: int) -> None:
    """Overwrite the block at this offset, of so many bytes, with zeros. Raises `DeviceError`.

    What are zeros already is left alone. The write of the block may have been cut short because the
    file system under the device is full: what it has not reached has no room there, not even for
    zeros, and what it has reached can be written over. What can not be read is overwritten.
    """
    page, zeros = memoryview(reserve(page_size)), memoryview(reserve(page_size))
    # The first page last: as long as it is there, whoever opens the device does this again.
    for at in (*range(offset + page_size, offset + block, page_size), offset):
        part = _to_write(home, at, page)
        if part:
            # Not by `home.write`: a block that can not be cleared does not make the device away.
            home.device.write(at + part.start - home.base, zeros[: len(part)])


def _to_write(home: OpenDevice, offset: int, page: memoryview) -> range:
    """From the first to the last byte of the page that is not zero, as the device is aligned."""
    try:
        home.read_into(offset, page)
    except DeviceError:
        return range(len(page))
    data = bytes(page)
    start, end = len(data) - len(data.lstrip(b"\0")), len(data.rstrip(b"\0"))
    return range(start - start % home.alignment, end + -end % home.alignment)
