"""Damage in a block in which nothing counts: a crash leaves that, and nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from images import (
    Model,
    blocks,
    damaged_object,
    filled,
    flip,
    holds,
    newest_with,
    overwrite,
)
from verdicts import Capture, fsck, kinds

from coldpress.block import RECORD_BYTES
from coldpress_plugins.devices.file import FileDevice


@pytest.fixture
def model(path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Stored twice; what is free is not made zeros, which not every device does."""
    monkeypatch.setattr(FileDevice, "discard", lambda self, offset, length: None)
    filled(path, 1)
    return filled(path, 2)


def dead(path: Path, model: Model) -> int:
    """The offset of a block of which no slot has its newest record."""
    live = {newest_with(path, slot)[0] for slot in (5, *model)}
    return min(at for at in blocks(path) if at not in live)


def damaged(path: Path, block: int) -> None:
    """One record's object, and something behind the last one."""
    records = blocks(path)[block].records
    flip(path, block + records[1].place + RECORD_BYTES + 2)
    last = records[-1]
    overwrite(path, block + last.place + RECORD_BYTES + last.length + 3, b"x")


def test_what_no_slot_needs_is_no_damage_in_a_block_that_may_be_written_over(
    path: Path, model: Model, capsys: Capture
) -> None:
    assert fsck(path, capsys)[1]["findings"] == []
    block = dead(path, model)
    damaged(path, block)
    status, result = fsck(path, capsys)
    (one,) = result["findings"]
    assert (status, result["damaged"], one["kind"]) == (0, False, "dead")
    assert (one["offset"], one["slots"]) == (block, [])
    holds(path, model, without=set())


def test_the_same_is_damage_where_anything_counts(
    path: Path, model: Model, capsys: Capture
) -> None:
    block, _ = newest_with(path, 7)
    damaged(path, block)
    status, result = fsck(path, capsys)
    assert (status, result["damaged"]) == (1, True)
    assert "dead" not in kinds(result)


def test_a_header_or_what_can_not_be_read_is_damage_there_too(
    path: Path, model: Model, capsys: Capture
) -> None:
    flip(path, dead(path, model) + 57)
    status, result = fsck(path, capsys)
    assert (status, kinds(result)) == (1, ["header"])


@pytest.mark.parametrize("others", [False, True])
def test_a_repair_clears_it_alone_or_along_with_others(
    path: Path, model: Model, capsys: Capture, others: bool
) -> None:
    damaged(path, dead(path, model))
    if others:
        damaged_object(7)(path)
    lost = [7] * others
    status, result = fsck(path, capsys, "--repair")
    assert (status, result["lost_slots"]) == (int(others), lost)
    assert kinds(result) == ["dead"] + ["object"] * others
    assert fsck(path, capsys)[1]["findings"] == []
    holds(path, model, without=set(lost))
