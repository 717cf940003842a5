"""What is fuzzed: each target takes any bytes, and raises if that shows a defect."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import tempfile
from collections.abc import Callable, Sequence
from functools import cache

import attrs

from coldpress.block import EPOCH_AT, BlockError, read_head, read_header, read_object
from coldpress.cli import main
from coldpress.codecs import Codecs
from coldpress.config import load_config
from coldpress.errors import ColdpressError, ConfigError
from coldpress.harness.errors import InputError
from coldpress.harness.formats import FORMATS, detect
from coldpress.knownids import KnownIds
from coldpress.limits import Limits
from coldpress.registry import default_registry
from coldpress.roles import Compressor
from coldpress.salvage import salvage
from coldpress.sealing import Sealing
from coldpress.superblock import SuperblockError, decode
from coldpress.testing import Medium
from coldpress.testing.pages import PAGE
from coldpress_plugins.compressors.none import NoCompression
from tests.crafted import mend_block, mend_superblock
from tests.fuzz.images import (
    BLOCK,
    SIZE,
    SLOTS,
    START,
    bodies,
    made_image,
    superblocks,
    template,
    used,
    used_again,
)
from tests.made import Made

_TOUCHES = 10_000  # of a trace are followed: one record may be of a million pages
_LIMITS = Limits(PAGE, BLOCK, SLOTS, 1)
_PATCH = struct.Struct("<IB")
_MADE = struct.Struct("<BIBBHIBBH")  # body, then twice slot, order, kind and codec, age
_MADE_BLOCKS = 2
_WORDS = (5, 1 << 58 | 7, (1 << 59) - 1, 1 << 63)
_BODIES = [*bodies(), *(number.to_bytes(8, "little") for number in _WORDS)]


def superblock(data: bytes) -> None:
    """A superblock, as it is and with its checksums mended."""
    for mended in (False, True):
        area = memoryview(bytearray(data))
        if mended:
            mend_superblock(area)
        with contextlib.suppress(SuperblockError, ConfigError):
            one = decode(area)
            one.differences(PAGE, BLOCK, SLOTS, SIZE)
            Codecs(NoCompression(), KnownIds(one.ids, default_registry()).compressors())


def block(data: bytes) -> None:
    """A block, as it is and with its checksums mended, by its records and without."""
    for mended in (False, True):
        view = memoryview(bytearray(data[:BLOCK].ljust(BLOCK, b"\0")))
        if mended:
            mend_block(view)
        with contextlib.suppress(BlockError):
            head = read_head(view, PAGE)
            _LIMITS.check(view, head)
        with contextlib.suppress(BlockError):
            header = read_header(view, PAGE)
            for one in header.records:
                with contextlib.suppress(BlockError):
                    stamp = header.identity.sequence
                    read_object(view[one.place :], one.slot, one.length, stamp, one.kind)
        found = salvage(view, 0, _LIMITS, Sealing(), lambda record: True)
        for at, one in found.records:
            assert 0 <= at < BLOCK
            assert one.slot + (1 << one.order) <= SLOTS


def image(data: bytes) -> None:
    """An image that was changed here and there: opened, used, opened again, and checked.

    The first byte says whether the checksums are mended. Then come patches: offset u32, length u8,
    and so many bytes.
    """
    logging.getLogger("coldpress").setLevel(logging.CRITICAL)  # it tells of each damage
    changed = _patched(data)
    medium = Medium(changed)
    with contextlib.suppress(ColdpressError):
        used_again(medium, used(medium))
    with tempfile.NamedTemporaryFile(prefix="coldpress-fuzz-") as file:
        file.write(changed)
        file.flush()
        for command in (
            ["inspect"],
            ["inspect", "--slot", "3"],
            ["inspect", "--block", "1"],
            ["fsck"],
        ):
            _command(*command, file.name)
        _command("fsck", "--repair", file.name)


def records(data: bytes) -> None:
    """An image of records that nobody has written, each checksum right: opened, used, opened again.

    The first byte says whether they are past W, and what is promoted. Then come records, and of
    each another one that stands in front of its object.
    """
    logging.getLogger("coldpress").setLevel(logging.CRITICAL)
    kind = data[0] if data else 0
    one = decode(memoryview(superblocks()))
    some: list[Made] = []
    for at in range(1, len(data) - _MADE.size + 1, _MADE.size):
        which, *numbers = _MADE.unpack_from(data, at)
        body = _BODIES[(which & 0x7F) % len(_BODIES)]
        first, copy = (_made(fields, body, one.epoch) for fields in (numbers[:4], numbers[4:]))
        some.append(attrs.evolve(first, copy=copy if which & 0x80 else None))
    blocks = [some[number::_MADE_BLOCKS] for number in range(_MADE_BLOCKS)]
    medium = made_image(blocks, sequence=one.durable + 1 if kind & 1 else 10)
    promote = ("first", "second", "never", "first")[kind >> 1 & 3]
    readahead = promote != "never" and bool(kind & 8)
    with contextlib.suppress(ColdpressError):
        stored = used(medium, promote=promote, readahead=readahead)
        used_again(medium, stored, promote=promote, readahead=readahead)


def codec(data: bytes) -> None:
    """What a compressor makes of what it has never made: at most the page that was asked for."""
    some = _compressors()
    one = some[(data[0] if data else 0) % len(some)]
    try:
        page = one.decompress(data[1:], PAGE)
    except Exception:  # which is taken to mean that the object is damaged
        return
    assert len(page) <= PAGE


def config(data: bytes) -> None:
    """A pipeline file."""
    with tempfile.NamedTemporaryFile(prefix="coldpress-fuzz-", suffix=".toml") as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(ConfigError):
            load_config(file.name)


def trace(data: bytes) -> None:
    """A trace; the first byte says in which format, if in any that its name tells."""
    kind, body = (data[0] if data else 0), data[1:]
    names = [f"trace{one.suffixes[0]}" for one in FORMATS]
    name = [*names, "trace"][kind % (len(names) + 1)]
    with contextlib.suppress(InputError):
        found = detect(name, body[:4096])
        for number, (first, pages, _) in enumerate(found.read(io.BytesIO(body), name, PAGE)):
            assert first >= 0
            assert pages >= 0
            if number > _TOUCHES:
                break


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (superblock, block, image, records, codec, config, trace)
}


@cache
def _compressors() -> list[Compressor]:
    """One of each, open, by their names."""
    names = [one.name for one in default_registry().plugins("compressor")]
    found = [load_config({"compressor": {"use": name}}).compressor for name in names]
    for one in found:
        one.open()
    return found


def _made(fields: Sequence[int], body: bytes, epoch: int) -> Made:
    slot, order, kind, age = fields
    return Made(slot, body, epoch << EPOCH_AT | age, order % 16, kind >> 4, kind % 16)


def _patched(data: bytes) -> bytes:
    changed = bytearray(template())
    at = 1
    while at + _PATCH.size <= len(data):
        offset, length = _PATCH.unpack_from(data, at)
        at += _PATCH.size
        part = data[at : at + length]
        at += length
        offset %= SIZE
        part = part[: SIZE - offset]
        changed[offset : offset + len(part)] = part
    if data and data[0] & 1:
        view = memoryview(changed)
        mend_superblock(view[:PAGE])
        mend_superblock(view[PAGE : 2 * PAGE])
        for start in range(START, SIZE - BLOCK + 1, BLOCK):
            mend_block(view[start : start + BLOCK])
    return bytes(changed)


def _command(*arguments: str) -> None:
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        assert main(arguments) in (0, 1, 2)
