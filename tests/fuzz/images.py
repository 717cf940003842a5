"""Small images, whole or made by hand, and a pipeline that is opened on one and used."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import attrs
import lz4.block

from coldpress.config import PipelineConfig, load_config
from coldpress.errors import ColdpressError
from coldpress.pipeline import Pipeline
from coldpress.roles.packer import BlockIdentity
from coldpress.superblock import Superblock, decode
from coldpress.testing import CrashDevice, Medium
from coldpress.testing.pages import PAGE, same
from coldpress.testing.shapes import described
from tests.made import Made, made_block

BLOCK = 2 * PAGE
SLOTS = 64
SIZE = 33 * PAGE
START = 2 * PAGE
"""Where the first block is, behind the superblocks."""

Change = Callable[[Superblock], Superblock]


def opened(
    medium: Medium,
    *,
    format: bool = False,  # noqa: A002
    change: Callable[[PipelineConfig], PipelineConfig] = lambda config: config,
    **writeback: Any,
) -> Pipeline:
    """The pipeline that the images here are of, without threads of its own."""
    shape = described(
        {
            "compressor": {"use": "lz4"},
            "allocator": {"use": "zbud", "limit": "256KiB"},
            "device": {"use": "memory"},
        },
        slots=SLOTS,
        device={"size": SIZE},
        packer={"block": BLOCK},
        writeback=writeback,
    )
    device = CrashDevice.over(medium)
    device.format = format
    config = attrs.evolve(load_config(shape), device=device)
    return Pipeline(change(config), synchronous=True)


def used(medium: Medium, **writeback: Any) -> dict[int, bytes]:
    """Load all there is, some of it again; store and sync; what has to be there afterwards.

    Whatever the image had, what is stored now is there: before the sync, and after it.
    """
    with opened(medium, **writeback) as pipeline:
        for slot in (*range(SLOTS), *range(SLOTS)):
            with contextlib.suppress(ColdpressError):
                assert len(pipeline.load(slot)) == PAGE
        pipeline.invalidate(8)
        stored = {slot: bytes([slot, 1]) * (PAGE // 2) for slot in range(0, SLOTS, 5)}
        stored |= {slot: bytes([slot]) * 64 + bytes(PAGE - 64) for slot in (4, 63)}
        stored |= {slot: random.Random(slot).randbytes(PAGE) for slot in (1, 2, 3)}
        for slot, page in stored.items():
            pipeline.store(slot, page)
        for turn in range(2):
            if turn:
                pipeline.sync()
            _check(pipeline, stored)
    return stored


def used_again(medium: Medium, stored: Mapping[int, bytes], **writeback: Any) -> None:
    """Opened anew, it has what `used` has left, and can be used."""
    with opened(medium, **writeback) as pipeline:
        _check(pipeline, stored)
    used(medium, **writeback)


def _check(pipeline: Pipeline, stored: Mapping[int, bytes]) -> None:
    for slot, page in stored.items():
        try:
            found = pipeline.load(slot)
        except ColdpressError as error:
            raise AssertionError(f"what was stored in slot {slot} is lost") from error
        assert same(found, page), f"slot {slot} does not hold what was stored"


@cache
def template() -> bytes:
    """An image with objects, folios, words and tombstones, some of them superseded."""
    medium = Medium(bytes(SIZE))
    with opened(medium) as pipeline:
        for turn in range(2):
            for slot in range(12):
                pipeline.store(slot, bytes([slot, turn]) * 300 + bytes(PAGE - 600))
            pipeline.store(16, bytes(range(256)) * (4 * PAGE // 256))
            pipeline.store(20 + turn, b"fill" * (PAGE // 4))
            pipeline.invalidate(3 + turn)
            pipeline.sync()
    return medium.read(0, SIZE)  # blocks 1 to 3 are in use


@cache
def bodies() -> list[bytes]:
    """What stands behind a record: objects of 1 to 16 pages, and what is none."""
    objects = [lz4.block.compress(bytes([n]) * (PAGE << n), store_size=False) for n in range(5)]
    return [*objects, b"", b"junk", bytes(PAGE)]


def superblocks(change: Change = lambda one: one) -> bytearray:
    """An image without blocks, both superblocks changed."""
    image = bytearray(SIZE)
    for at in (0, PAGE):
        one = decode(memoryview(template())[at : at + PAGE])
        data = change(attrs.evolve(one, durable=50)).encode()
        image[at : at + len(data)] = data
    return image


def made_image(
    blocks: Sequence[Sequence[Made]], change: Change = lambda one: one, sequence: int = 10
) -> Medium:
    """One with these blocks, of which the first has this sequence."""
    found = superblocks(change)
    one = decode(memoryview(found))
    for number, some in enumerate(blocks):
        identity = BlockIdentity(one.uuid, one.epoch, sequence + number, 0, number)
        at = START + number * BLOCK
        found[at : at + BLOCK] = made_block(BLOCK, PAGE, identity, some)
    return Medium(bytes(found))
