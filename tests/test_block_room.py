"""Whether a block holds what its packer said would fit, whatever a page's size is."""

from __future__ import annotations

import random
from typing import Any

import pytest
from test_folios import shape

import coldpress
from coldpress import ConfigError, Pipeline
from coldpress.config import load_config
from coldpress.testing.pages import page


@pytest.mark.parametrize("packer", ["bounce", "aligned", "zsmalloc", "zspage", "page"])
@pytest.mark.parametrize("page_size", [8192, 16384, 65536])
def test_larger_pages_are_written_whatever_is_in_them(page_size: int, packer: str) -> None:
    # As small as the packer allows: a page with its record, and for `aligned` a table before it.
    block = {"page": 1, "aligned": 3}.get(packer, 2) * page_size
    tables: dict[str, Any] = {
        "page_size": page_size,
        "packer": {"use": packer, "block": block},
        "allocator": {"limit": 24 * page_size + 16 * block},
    }
    described = shape()
    for name, table in tables.items():
        described[name] = {**described[name], **table} if isinstance(table, dict) else table
    with Pipeline(load_config(described), synchronous=True) as pipeline:
        noise = random.Random(page_size)
        pages = [noise.randbytes(page_size) for _ in range(150)]
        for slot, content in enumerate(pages):
            pipeline.store(slot, content)
        assert pipeline.stats().written_back_pages > 50
        for slot, content in enumerate(pages):
            assert pipeline.load(slot) == content


def test_a_block_of_aligned_has_a_page_for_its_table_whatever_a_page_is() -> None:
    described = shape(packer={"use": "aligned", "block": "32KiB"})
    assert load_config({**described, "page_size": "8KiB"})
    with pytest.raises(ConfigError, match="can not hold a page of 16KiB that does not shrink"):
        load_config({**described, "page_size": "16KiB"})


def test_a_packer_that_can_not_hold_what_it_took_is_named() -> None:
    with Pipeline(load_config(shape()), synchronous=True) as pipeline:
        begin = pipeline.config.packer.begin

        def full(buffer: memoryview, group: int) -> coldpress.OpenBlock:
            block = begin(buffer, group)
            block.has_room = lambda length: False  # type: ignore[method-assign]
            return block

        pipeline.config.packer.begin = full  # type: ignore[method-assign]
        with pytest.raises(coldpress.PluginError, match="'bounce' can not hold"):
            for slot in range(2000):
                pipeline.store(slot, page("mixed", slot, 1))
        assert all(pipeline.load(s) == page("mixed", s, 1) for s in range(slot))
