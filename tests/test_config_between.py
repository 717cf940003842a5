"""What the components themselves say of each other's sizes, before anything is opened."""

from __future__ import annotations

from typing import Any

import pytest

from coldpress import ConfigError
from coldpress.config import load_config


def complaints(shape: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(shape)
    return [str(problem) for problem in caught.value.problems]


def test_a_block_must_hold_a_page_that_does_not_shrink() -> None:
    assert complaints({"packer": {"block": "4KiB"}}) == [
        "packer.block: 'block' in [packer] bounce: 4KiB can not hold a page of 4KiB that does "
        "not shrink; the next larger is 8KiB"
    ]
    load_config({"packer": {"block": "8KiB"}})


def test_the_limit_must_hold_a_block_and_a_zspage() -> None:
    shape = {"allocator": {"limit": "39KiB", "chain": 8}, "packer": {"block": "8KiB"}}
    (only,) = complaints(shape)
    assert only.startswith("allocator.limit: 'limit' in [allocator] zsmalloc: must be at least 40K")
    shape["allocator"]["limit"] = "40KiB"
    load_config(shape)
    load_config({"allocator": {"use": "zbud", "limit": "16KiB"}, "packer": {"block": "8KiB"}})
