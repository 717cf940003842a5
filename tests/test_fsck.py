"""`coldpress fsck`: damage of each kind is told as what it is, and repaired for good."""

from __future__ import annotations

import os
from pathlib import Path

import forgeries
import pytest
from contents import load
from images import (
    BLOCK,
    SLOTS,
    Damage,
    Fault,
    Model,
    blocks,
    damaged_copy,
    damaged_header,
    damaged_object,
    damaged_older_object,
    damaged_superblock,
    damaged_table,
    filled,
    flip,
    holds,
    newest_with,
    opened,
    overwrite,
    something_behind_the_last,
    unreadable,
)
from keys import key_file
from verdicts import Capture, fsck, kinds

import coldpress
import coldpress.repair
from coldpress.block import RECORD_BYTES
from coldpress.cli import main
from coldpress.superblock import decode
from coldpress.testing.pages import PAGE, page, same
from coldpress_plugins.devices.file import FileDevice


@pytest.mark.parametrize(
    ("damage", "kind", "lost"),
    [
        (damaged_object(7), "object", {7}),
        (damaged_object(16), "object", {16, 17}),
        (damaged_object(2), "object", {2}),
        (damaged_copy(7), "copy", set()),
        (damaged_copy(16), "copy", set()),
        (damaged_copy(2), "copy", set()),
        (damaged_copy(5), "copy", set()),
        (damaged_header, "header", set()),
        (damaged_table, "header", set()),
        (something_behind_the_last, "stray", set()),
        (damaged_superblock(0), "superblock", set()),
        (damaged_superblock(1), "superblock", set()),
    ],
)
def test_damage_is_told_and_repaired_and_nothing_older_comes_back(
    path: Path,
    model: Model,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    damage: Damage,
    kind: str,
    lost: set[int],
) -> None:
    # A hint, which on a file happens to void blocks, but on a device may do nothing.
    monkeypatch.setattr(FileDevice, "discard", lambda self, offset, length: None)
    assert fsck(path, capsys) == (0, fsck(path, capsys)[1])
    damage(path)
    image = path.read_bytes()
    status, result = fsck(path, capsys)
    assert status == 1
    assert kinds(result) == [kind]
    assert set(result["lost_slots"]) == lost
    assert not result["unknown_blocks"]
    assert path.read_bytes() == image
    status, result = fsck(path, capsys, "--repair")
    assert status == bool(lost)
    assert set(result["lost_slots"]) == lost
    assert result["repaired"]["voided"] == (kind != "superblock")
    assert not result["repaired"]["refused"]
    status, result = fsck(path, capsys)
    assert (status, result["findings"]) == (0, [])
    holds(path, model, without=lost)
    assert fsck(path, capsys)[0] == 0


def test_what_nothing_needs_is_told_apart(path: Path, capsys: Capture) -> None:
    filled(path)
    with opened(path) as pipeline:
        pipeline.store(7, page("text", 7, 3))
    damaged_older_object(path)
    status, result = fsck(path, capsys)
    assert status == 1
    assert kinds(result) == ["superseded"]
    assert "slot 7" in result["findings"][0]["text"]
    assert fsck(path, capsys, "--repair")[0] == 0
    assert fsck(path, capsys)[0] == 0


def test_a_write_that_was_cut_short_is_no_damage(path: Path, capsys: Capture) -> None:
    filled(path)
    pipeline = opened(path)
    pipeline.store(9, page("text", 9, 2))
    pipeline.sync()
    image = path.read_bytes()  # as a crash leaves it: the block is past W
    pipeline.close()
    path.write_bytes(image)
    _, inline = newest_with(path, 9)
    flip(path, inline + RECORD_BYTES + 2)
    status, result = fsck(path, capsys)
    assert status == 0
    assert kinds(result) == ["torn"]
    assert not result["damaged"]
    opened(path).close()
    assert fsck(path, capsys)[1]["findings"] == []


def test_what_is_not_known_is_said(path: Path, model: Model, capsys: Capture) -> None:
    block, inline = newest_with(path, 7)
    overwrite(path, block, bytes(range(1, 129)) * (-(-(inline + RECORD_BYTES - block) // 128)))
    status, result = fsck(path, capsys)
    assert status == 1
    assert "records" in kinds(result)
    number = (block - 2 * decode(memoryview(path.read_bytes())).area) // BLOCK
    assert result["unknown_blocks"] == [number]
    assert fsck(path, capsys, "--repair")[0] == 1
    assert fsck(path, capsys)[:1] == (0,)
    assert fsck(path, capsys)[1]["findings"] == []


@pytest.mark.parametrize("slot", [3, 5, 7, 38])
def test_a_block_whose_first_page_was_wiped_is_found(
    path: Path, model: Model, capsys: Capture, slot: int
) -> None:
    """Whatever is left behind it comes back; of a block of one page, nothing is."""
    block, _ = newest_with(path, slot)
    header = blocks(path)[block]
    left = {one.slot for one in header.records if one.place >= PAGE}
    overwrite(path, block, bytes(PAGE))
    status, result = fsck(path, capsys)
    if header.pages == 1:
        assert result["findings"] == []
        return
    assert (status, kinds(result)) == (1, ["wiped"])
    status, result = fsck(path, capsys, "--repair")
    assert (status, result["repaired"]["voided"]) == (1, 1)
    assert fsck(path, capsys)[1]["findings"] == []
    with opened(path) as pipeline:
        assert left
        for one in left & model.keys():
            assert same(pipeline.load(one), model[one])


def test_a_write_that_an_opening_has_cleared_away_is_no_finding(
    path: Path, capsys: Capture
) -> None:
    filled(path)
    pipeline = opened(path)
    for slot in (9, 10, 11, 12, 13):
        pipeline.store(slot, page("text", slot, 2))
    pipeline.sync()
    image = path.read_bytes()
    pipeline.close()
    path.write_bytes(image)
    _, inline = newest_with(path, 9)
    flip(path, inline + RECORD_BYTES + 2)
    assert kinds(fsck(path, capsys)[1]) == ["torn"]
    opened(path).close()
    assert fsck(path, capsys)[1]["findings"] == []


def test_a_block_that_can_not_be_read_is_given_up_by_repair_alone(
    path: Path, model: Model, capsys: Capture
) -> None:
    block, _ = newest_with(path, 7)
    with unreadable(Fault([range(block, block + PAGE)])):
        status, result = fsck(path, capsys)
        assert status == 1
        assert kinds(result) == ["unreadable"]
        assert len(result["unknown_blocks"]) == 1
        with pytest.raises(coldpress.DeviceError, match="`coldpress fsck --repair`"):
            opened(path)
        status, result = fsck(path, capsys, "--repair")
        assert status == 1
        assert fsck(path, capsys)[1]["findings"] == []
        with opened(path) as pipeline:
            found = {slot: load(pipeline, slot) for slot in range(SLOTS)}
    for slot, data in found.items():  # an older version, as was said, but never a wrong one
        one = [None, model.get(slot), page("text", slot, 1), page("random", slot, 1)]
        assert data in one, f"slot {slot}"


def test_pages_that_can_not_be_read_lose_what_is_in_them(
    path: Path, model: Model, capsys: Capture
) -> None:
    _, inline = newest_with(path, 3)
    bad = inline + RECORD_BYTES + 2000
    bad -= bad % PAGE
    with unreadable(Fault([range(bad, bad + PAGE)])):
        status, result = fsck(path, capsys)
        assert (status, kinds(result)) == (1, ["object", "unreadable"])
        lost = set(result["lost_slots"])
        assert 3 in lost
        assert fsck(path, capsys, "--repair")[0] == 1
        assert fsck(path, capsys)[1]["findings"] == []
        holds(path, model, without=lost)


def test_both_superblocks_damaged_is_the_end(path: Path, model: Model, capsys: Capture) -> None:
    damaged_superblock(1)(path)
    damaged_superblock(0)(path)
    for options in ([], ["--repair"]):
        capsys.readouterr()
        assert main(["fsck", str(path), *options]) == 1
        assert "both superblocks are damaged" in capsys.readouterr().err


def test_an_image_that_was_cut_off_is_told(path: Path, model: Model, capsys: Capture) -> None:
    block, _ = newest_with(path, 7)
    os.truncate(path, block + 100)
    status, result = fsck(path, capsys)
    assert status == 1
    assert kinds(result)[-1] == "short"
    assert fsck(path, capsys, "--repair")[0] == 1
    assert fsck(path, capsys)[1]["findings"] == []


def test_what_can_not_be_looked_at_is_one_line(path: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else" * 1000)
    filled(path)
    key = key_file(tmp_path)
    for command in ("fsck", "inspect"):
        for name, says in [
            (other, "is no image of a persistent pipeline"),
            (tmp_path, "is neither a file nor a block device"),
            (tmp_path / "none", "No such file"),
        ]:
            capsys.readouterr()
            assert main([command, str(name)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("coldpress: error: ")
            assert says in line
        with opened(path):
            assert main([command, str(path)]) == 2
            assert "is in use by another process" in capsys.readouterr().err
        assert main([command, str(path), "--key", key]) == 2
        assert "is not encrypted" in capsys.readouterr().err


def test_a_word_that_no_slot_can_have_is_damage(path: Path, capsys: Capture) -> None:
    model = filled(path)
    image = bytearray(path.read_bytes())
    newest = forgeries.of_slot(memoryview(image), BLOCK, 2)[-1]
    newest.become(newest.record, b"\xff" * 8)
    path.write_bytes(image)
    with opened(path) as pipeline:
        assert pipeline.stats().stored_pages == len(model)
        with pytest.raises((coldpress.CorruptBlock, coldpress.CompressorError)):
            pipeline.load(2)
        assert same(pipeline.load(7), model[7])
