"""Ranges of bytes for the checks of devices: buffers, contents, and what is wrong with them."""

from __future__ import annotations

import ctypes
import random

from hypothesis import strategies as st

from coldpress.component import Buffer
from coldpress.flat import OS_PAGE, reserve
from coldpress.roles import Device

SIZE = 1 << 20


def buffer(content: bytes | int, alignment: int = OS_PAGE) -> memoryview:
    """Memory with this content, or so many zeros, whose address is a multiple of `alignment`."""
    size = content if isinstance(content, int) else len(content)
    room = memoryview(reserve(size + (alignment if alignment > OS_PAGE else 0)))
    start = -ctypes.addressof(ctypes.c_char.from_buffer(room)) % alignment
    view = room[start : start + size]
    if isinstance(content, bytes):
        view[:] = content
    return view


def noise(length: int, seed: int = 1) -> bytes:
    """Bytes that no other seed gives."""
    return random.Random(seed).randbytes(length)


def read(device: Device, offset: int, length: int) -> bytes:
    """What an open device gives for a range; nothing beside the buffer may change."""
    align = max(device.alignment, OS_PAGE)
    room = buffer(b"\xee" * (length + 2 * align), align)
    device.read_into(offset, room[align : align + length])
    assert room[:align] == b"\xee" * align, "a read reached in front of its buffer"
    assert room[align + length :] == b"\xee" * align, "a read reached past its buffer"
    return bytes(room[align : align + length])


def agree(found: Buffer, want: Buffer, start: int = 0, known: Buffer | None = None) -> None:
    """Fail, and say where, if bytes from offset `start` on are not as they were written.

    `known` has 0xff where it matters, and 0 where anything may be.
    """
    assert len(found) == len(want)
    numbers = [int.from_bytes(view, "little") for view in (found, want, known or b"")]
    wrong = numbers[0] ^ numbers[1]
    if known is not None:
        wrong &= numbers[2]
    if wrong:
        first = ((wrong & -wrong).bit_length() - 1) // 8
        raise AssertionError(f"wrong bytes from offset {start + first} on")


class RangeModel:
    """A random history at the end of the device, and what is known of each byte there."""

    def __init__(self, device: Device, unit: int) -> None:
        self.device = device
        self.unit = unit
        self.span = min(device.size, 48 * self.unit)
        self.start = device.size - self.span
        self.bytes = bytearray(self.span)
        self.known = bytearray(self.span)  # 0xff, or 0 where anything may be

    def run(self, data: st.DataObject) -> None:
        step = self.device.alignment
        places = st.integers(0, self.span // step - 1)
        if step == 1:
            places |= st.integers(0, self.span // self.unit - 1).map(lambda n: n * self.unit)
        lengths = st.integers(1, 8 * self.unit // step)
        histories = st.lists(
            st.tuples(st.sampled_from("wwwrrdf"), places, lengths, st.integers(0, 255)),
            max_size=25,
        )
        for kind, place, length, seed in data.draw(histories):
            at = place * step
            end = min(self.span, at + length * step)
            offset = self.start + at
            if kind == "w":
                new = noise(end - at, seed)
                self.device.write(offset, buffer(new, self.unit))
                self.bytes[at:end] = new
                self.known[at:end] = b"\xff" * (end - at)
            elif kind == "r":
                self.same(read(self.device, offset, end - at), at)
            elif kind == "d":
                self.device.discard(offset, end - at)
                self.known[at:end] = bytes(end - at)
            else:
                self.device.flush()

    def same(self, found: bytes, at: int) -> None:
        """What was found from `at` on is what was written, where it is known."""
        end = at + len(found)
        agree(found, self.bytes[at:end], self.start + at, self.known[at:end])
