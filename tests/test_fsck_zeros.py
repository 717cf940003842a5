"""First pages that are zeros: a power cut leaves such blocks, and an opening passes over them."""

from __future__ import annotations

from pathlib import Path

from contents import load
from images import (
    blocks,
    filled,
    flip,
    holds,
    newest_with,
    opened,
    overwrite,
)
from verdicts import Capture, fsck, kinds

from coldpress.superblock import decode
from coldpress.testing.pages import PAGE, page

LATE = range(40, 46)  # slots of which the only record is in the block


def cut_write(path: Path) -> int:
    """Lose the first page of a block's write, amid a crash; the block's offset."""
    pipeline = opened(path)
    for slot in LATE:
        pipeline.store(slot, page("text", slot, 1))
    pipeline.sync()
    block, _ = newest_with(path, LATE[0])
    assert [one.slot for one in blocks(path)[block].records] == list(LATE)
    image = path.read_bytes()
    pipeline.close()
    path.write_bytes(image)
    overwrite(path, block, bytes(PAGE))
    return block


def emptied(path: Path) -> bytes:
    """To a pipeline there is nothing in these slots, so it needs no tombstones.

    The image as it is when that is durable, and the pipeline open still.
    """
    with opened(path) as pipeline:
        for slot in LATE:
            assert load(pipeline, slot) is None
            pipeline.invalidate(slot)
        pipeline.sync()
        return path.read_bytes()


def test_what_was_written_after_the_last_opening_is_found_and_comes_back(
    path: Path, capsys: Capture
) -> None:
    model = filled(path)
    block = cut_write(path)
    status, result = fsck(path, capsys)
    assert (status, kinds(result)) == (1, ["wiped"])
    assert result["findings"][0]["offset"] == block
    fsck(path, capsys, "--repair")
    assert fsck(path, capsys)[1]["findings"] == []
    left = LATE[2:]  # what was in the first page is lost
    holds(path, model | {slot: page("text", slot, 1) for slot in left}, without=set())


def test_what_an_opening_has_passed_over_never_comes_back(path: Path, capsys: Capture) -> None:
    model = filled(path)
    block = cut_write(path)
    emptied(path)
    status, result = fsck(path, capsys)
    assert (status, kinds(result), result["damaged"]) == (0, ["remains"], False)
    assert result["findings"][0]["offset"] == block
    status, result = fsck(path, capsys, "--repair")
    assert (status, result["repaired"]["moved"], result["repaired"]["voided"]) == (0, 0, 1)
    assert fsck(path, capsys)[1]["findings"] == []
    holds(path, model, without=set())


def test_remains_in_a_block_that_was_wiped_later_do_not_come_back_with_it(
    path: Path, capsys: Capture
) -> None:
    model = filled(path)
    block = cut_write(path)
    emptied(path)
    with opened(path) as pipeline:
        pipeline.store(50, page("random", 50, 1))
        pipeline.store(51, page("text", 51, 1))
        pipeline.sync()
        newest, copy = newest_with(path, 51)
        assert (newest, blocks(path)[block].pages) == (block, 2)
        assert copy >= block + PAGE
        pipeline.invalidate(50)
    overwrite(path, block, bytes(PAGE))
    status, result = fsck(path, capsys)
    assert (status, kinds(result)) == (1, ["wiped"])
    assert fsck(path, capsys, "--repair")[1]["repaired"]["moved"] == 1
    assert fsck(path, capsys)[1]["findings"] == []
    holds(path, model | {51: page("text", 51, 1)}, without={50})


def test_which_opening_was_the_last_is_not_known_without_both_superblocks(
    path: Path, capsys: Capture
) -> None:
    model = filled(path)
    cut_write(path)
    image = emptied(path)
    area = decode(memoryview(image)).area
    epochs = {decode(memoryview(image)[at:]).epoch: at for at in (0, area)}
    assert len(epochs) == 2
    path.write_bytes(image)
    flip(path, epochs[max(epochs)])  # the one that tells of the opening
    status, result = fsck(path, capsys)
    assert (status, kinds(result)) == (1, ["remains", "superblock"])
    assert fsck(path, capsys, "--repair")[0] == 0
    assert fsck(path, capsys)[1]["findings"] == []
    holds(path, model, without=set(LATE))
