"""A damaged superblock A without a B: a first opening that was cut short, or all that is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from contents import holds
from images import BLOCK, Fault, Model, flip, opened, overwrite, shape, unreadable

import coldpress
from coldpress.superblock import decode
from coldpress.testing.pages import page, same

SIZE = 512 << 10


def refused(path: Path, size: str = "512KiB") -> None:
    before = path.read_bytes()
    with pytest.raises(coldpress.ConfigError, match="both superblocks are damaged") as caught:
        coldpress.open(shape(path, device={"size": size}))
    assert "format = true" in str(caught.value)
    assert same(path.read_bytes(), before)


def area_of(path: Path) -> int:
    return decode(memoryview(path.read_bytes())).area


def cut_short(path: Path) -> int:
    """Leave what a first opening leaves that was cut short in its first write; the area."""
    opened(path).close()
    area = area_of(path)
    head = path.read_bytes()[:64]
    path.write_bytes(head + bytes(SIZE - len(head)))
    return area


def test_a_first_opening_that_was_cut_short_is_done_again(path: Path) -> None:
    cut_short(path)
    with opened(path) as pipeline:
        pipeline.store(7, page("text", 7, 1))
    with opened(path) as pipeline:
        holds(pipeline, {7: page("text", 7, 1)})


@pytest.mark.parametrize("sector", [False, True])
def test_with_blocks_behind_them_nothing_is_formatted_unasked(
    path: Path, model: Model, sector: bool
) -> None:
    area = area_of(path)
    flip(path, 50)
    overwrite(path, area, bytes(512 if sector else 1))
    refused(path)
    with opened(path, device={"format": True}) as pipeline:
        holds(pipeline, {})


def test_it_is_refused_whatever_is_left_of_b_or_of_a_block(path: Path) -> None:
    area = cut_short(path)
    blank = path.read_bytes()
    last = 2 * area + (SIZE - 2 * area) // BLOCK * BLOCK - BLOCK
    for at in (area + 511, 2 * area - 1, 2 * area, last, last + 4095):
        overwrite(path, at, b"x")
        refused(path)
        path.write_bytes(blank)
    opened(path).close()


def test_what_can_not_be_read_may_be_a_block(path: Path) -> None:
    area = cut_short(path)
    with unreadable(Fault([range(2 * area + BLOCK, 2 * area + BLOCK + 1)])):
        refused(path)
    opened(path).close()


def test_a_wrong_size_does_not_hide_the_b_that_is_whole(path: Path) -> None:
    right = {"size": "1MiB"}
    opened(path, device=right).close()
    assert area_of(path) == 16 << 10  # there no block begins on a device of another size
    flip(path, 50)
    refused(path, "256KiB")
    opened(path, device=right).close()
