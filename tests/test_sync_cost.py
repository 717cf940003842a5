"""What a sync writes is what has changed since the last, and little more."""

from __future__ import annotations

import random

import attrs
import pytest

from coldpress.config import load_config
from coldpress.pipeline import Pipeline
from coldpress.testing import CrashDevice, Medium
from coldpress.testing.pages import PAGE

SIZE = 16 << 20


@pytest.mark.parametrize("again", [0, 500])
def test_a_megabyte_that_has_changed_costs_a_tenth_more_at_most(again: int) -> None:
    medium = Medium(bytes(SIZE))
    shape = {
        "slots": 4096,
        "compressor": {"use": "lz4"},
        "allocator": {"limit": "16MiB"},
        "packer": {"use": "bounce", "block": "64KiB"},
        "device": {"use": "memory", "size": SIZE},
    }
    config = attrs.evolve(load_config(shape), device=CrashDevice.over(medium))
    rng = random.Random(1)

    def page() -> bytes:
        return rng.randbytes(rng.randrange(500, 3000)).ljust(PAGE, b"\0")

    with Pipeline(config, synchronous=True) as pipeline:
        for slot in range(1000):
            pipeline.store(slot, page())
        pipeline.sync()
        for slot in range(1000 - again, 2000 - again):  # some of them changed again
            pipeline.invalidate(slot)
        begun, before = medium.events, pipeline.stats().compressed_bytes
        for slot in range(1000 - again, 2000 - again):
            pipeline.store(slot, page())
        dirty = pipeline.stats().compressed_bytes - before
        pipeline.sync()
        written = sum(len(one.data or b"") for one in medium._log[begun:])
    assert dirty > 1 << 20
    assert dirty < written <= 1.1 * dirty
