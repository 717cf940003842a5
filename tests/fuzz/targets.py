"""What is fuzzed: each target takes any bytes, and raises if that shows a defect."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

import attrs

from coldpress.block import BlockError, read_head, read_header, read_object
from coldpress.cli import main
from coldpress.codecs import Codecs
from coldpress.config import load_config
from coldpress.errors import ColdpressError, ConfigError
from coldpress.harness.errors import InputError
from coldpress.harness.formats import FORMATS, detect
from coldpress.knownids import KnownIds
from coldpress.limits import Limits
from coldpress.pipeline import Pipeline
from coldpress.registry import default_registry
from coldpress.salvage import salvage
from coldpress.sealing import Sealing
from coldpress.superblock import SuperblockError, decode
from coldpress.testing import CrashDevice, Medium
from coldpress.testing.pages import PAGE
from coldpress.testing.shapes import described
from coldpress_plugins.compressors.none import NoCompression
from tests.crafted import mend_block, mend_superblock

BLOCK = 2 * PAGE
SLOTS = 64
SIZE = 25 * PAGE
_TOUCHES = 10_000  # of a trace are followed: one record may be of a million pages
_LIMITS = Limits(PAGE, BLOCK, SLOTS, 1)
_PAGE = bytes(range(256)) * (PAGE // 256)
_PATCH = struct.Struct("<IB")


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
        found = salvage(view, 0, _LIMITS, 8, Sealing(), lambda record: True)
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
        _use(medium)
        with _opened(medium) as again:
            try:
                kept = again.load(7)
            except ColdpressError as error:
                raise AssertionError("what was synced is lost") from error
            assert kept == _PAGE
        _use(medium)
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
    one.__name__: one for one in (superblock, block, image, config, trace)
}


# -- an image ---------------------------------------------------------------------------------


@cache
def template() -> bytes:
    """An image with objects, folios, words and tombstones, some of them superseded."""
    medium = Medium(bytes(SIZE))
    with _opened(medium) as pipeline:
        for turn in range(2):
            for slot in range(12):
                pipeline.store(slot, bytes([slot, turn]) * 300 + bytes(PAGE - 600))
            pipeline.store(16, bytes(range(256)) * (4 * PAGE // 256))
            pipeline.store(20 + turn, b"fill" * (PAGE // 4))
            pipeline.invalidate(3 + turn)
            pipeline.sync()
    return medium.read(0, SIZE)  # blocks 1 to 3 are in use


def _shape() -> dict[str, Any]:
    return described(
        {
            "compressor": {"use": "lz4"},
            "allocator": {"use": "zbud", "limit": "256KiB"},
            "device": {"use": "memory"},
        },
        slots=SLOTS,
        device={"size": SIZE},
        packer={"block": BLOCK},
    )


def _opened(medium: Medium) -> Pipeline:
    parts = attrs.evolve(load_config(_shape()), device=CrashDevice.over(medium))
    return Pipeline(parts, synchronous=True)


def _use(medium: Medium) -> None:
    with _opened(medium) as pipeline:
        for slot in range(SLOTS):
            with contextlib.suppress(ColdpressError):
                assert len(pipeline.load(slot)) == PAGE
        pipeline.store(7, _PAGE)
        pipeline.invalidate(8)
        pipeline.sync()
        assert pipeline.load(7) == _PAGE


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
        for start in range(2 * PAGE, SIZE - BLOCK + 1, BLOCK):
            mend_block(view[start : start + BLOCK])
    return bytes(changed)


def _command(*arguments: str) -> None:
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        assert main(arguments) in (0, 1, 2)
