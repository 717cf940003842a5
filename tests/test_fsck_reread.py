"""What could not be read when `coldpress fsck` looked, and can be when it repairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from images import (
    Fault,
    Model,
    blocks,
    damaged_copy,
    damaged_object,
    damaged_older_object,
    filled,
    holds,
    newest_with,
    opened,
    unreadable,
)
from verdicts import Capture, fsck, kinds

from coldpress.image import Image
from coldpress.testing.pages import PAGE, page


@contextmanager
def unreadable_at_first(*ranges: range) -> Iterator[None]:
    """The look can not read there; the repair, which has the device, can."""
    fault, read = Fault(list(ranges)), Image.read_into

    def fails(self: Image, offset: int, buffer: memoryview) -> None:
        fault.check(offset, buffer.nbytes)
        read(self, offset, buffer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "read_into", fails)
        yield


def page_at(at: int) -> range:
    return range(at - at % PAGE, at - at % PAGE + PAGE)


def last_page(path: Path, slot: int) -> range:
    """Of the block with the slot's newest record: one without the header."""
    block, _ = newest_with(path, slot)
    pages = blocks(path)[block].pages
    assert pages > 1
    return range(block + (pages - 1) * PAGE, block + pages * PAGE)


def looked_and_repaired(
    path: Path, capsys: Capture, *ranges: range
) -> tuple[dict[str, Any], int, dict[str, Any]]:
    with unreadable_at_first(*ranges):
        first = fsck(path, capsys)[1]
        status, result = fsck(path, capsys, "--repair")
    assert fsck(path, capsys)[1]["findings"] == []
    return first, status, result


def test_what_can_be_read_then_and_is_whole_stays(
    path: Path, model: Model, capsys: Capture
) -> None:
    first, status, result = looked_and_repaired(path, capsys, last_page(path, 7))
    assert first["lost_slots"]
    assert (status, kinds(result), result["lost_slots"]) == (0, ["unreadable"], [])
    assert result["repaired"]["lost"] == []
    assert result["repaired"]["moved"] >= len(first["lost_slots"])
    holds(path, model, without=set())


def test_what_can_be_read_then_and_is_damaged_is_lost_alone(
    path: Path, model: Model, capsys: Capture
) -> None:
    _, inline = newest_with(path, 7)
    damaged_object(7)(path)
    first, status, result = looked_and_repaired(path, capsys, page_at(inline + 26))
    assert len(first["lost_slots"]) > 1
    assert (status, kinds(result), result["lost_slots"]) == (1, ["object", "unreadable"], [7])
    assert result["repaired"]["lost"] == [7]
    holds(path, model, without={7})


def test_a_damaged_copy_that_can_be_read_then_is_no_loss(
    path: Path, model: Model, capsys: Capture
) -> None:
    _, inline = newest_with(path, 7)
    damaged_copy(7)(path)
    _, status, result = looked_and_repaired(path, capsys, page_at(inline + 9))
    assert (status, kinds(result), result["lost_slots"]) == (0, ["copy", "unreadable"], [])
    holds(path, model, without=set())


@pytest.mark.parametrize("slot", [2, 3, 5, 7, 16])
def test_a_block_of_which_nothing_was_known_is_as_it_was(
    path: Path, model: Model, capsys: Capture, slot: int
) -> None:
    block, _ = newest_with(path, slot)
    first, status, result = looked_and_repaired(path, capsys, range(block, block + PAGE))
    assert len(first["unknown_blocks"]) == 1
    assert (status, result["unknown_blocks"], result["lost_slots"]) == (0, [], [])
    holds(path, model, without=set())


def test_an_older_version_that_is_damaged_takes_nothing_along(path: Path, capsys: Capture) -> None:
    """As long as the block with the newest one could not be read, the older one counted."""
    model = filled(path)
    model[7] = page("text", 7, 3)
    with opened(path) as pipeline:
        pipeline.store(7, model[7])
    damaged_older_object(path)
    block, _ = newest_with(path, 7)
    first, status, result = looked_and_repaired(path, capsys, range(block, block + PAGE))
    assert first["lost_slots"] == [7]
    assert (status, kinds(result)) == (0, ["superseded", "unreadable"])
    holds(path, model, without=set())


def test_what_can_still_not_be_read_is_given_up_beside_it(
    path: Path, model: Model, capsys: Capture
) -> None:
    for_good, at_first = last_page(path, 7), last_page(path, 30)
    assert for_good != at_first
    with unreadable(Fault([for_good])), unreadable_at_first(at_first):
        first = fsck(path, capsys)[1]
        status, result = fsck(path, capsys, "--repair")
    lost = set(result["lost_slots"])
    assert lost < set(first["lost_slots"])
    assert lost == set(result["repaired"]["lost"])
    assert status == 1
    named = [one["text"] for one in result["findings"] if one["slots"]]
    assert named
    assert all("can not be read" in one for one in named)
    assert fsck(path, capsys)[1]["findings"] == []
    holds(path, model, without=lost)
