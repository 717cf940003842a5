"""A file that was cut off is no image of a pipeline any more: the opening refuses it as it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from contents import holds, load
from images import Model, blocks, damaged_superblock, newest_with, opened, shape
from media import FILES
from verdicts import Capture, fsck

import coldpress
from coldpress.cli import main
from coldpress.layout import superblock_area
from coldpress.testing.pages import page, same

SIZE = 512 << 10
AREA = superblock_area(4096, SIZE, persistent=True)


def refused(path: Path, match: str, **device: Any) -> str:
    """The error of an opening that leaves the file as it is."""
    before = path.read_bytes()
    with pytest.raises(coldpress.DeviceUnusable, match=match) as caught:
        opened(path, device=device)
    assert same(path.read_bytes(), before)
    return str(caught.value)


@pytest.mark.parametrize("use", FILES)
@pytest.mark.parametrize("left", [4096, AREA + 4096, 3 * AREA, SIZE - 4096])
def test_it_is_refused_with_both_sizes_and_what_to_do(
    path: Path, model: Model, use: str, left: int
) -> None:
    os.truncate(path, left)
    text = refused(path, "`coldpress fsck --repair`", use=use)
    assert f"{path} has {left} bytes, and not the {SIZE} that it had" in text
    assert "format = true" in text


def test_superblock_b_tells_how_long_it_was(path: Path, model: Model) -> None:
    damaged_superblock(0)(path)
    os.truncate(path, 3 * AREA)
    refused(path, f"not the {SIZE} that it had", size="1MiB")


def test_without_superblocks_the_pipeline_file_tells(path: Path, model: Model) -> None:
    damaged_superblock(0)(path)
    os.truncate(path, AREA)
    refused(path, f"has {AREA} bytes, and not the {SIZE} of the size option")


def test_a_larger_size_option_changes_nothing(path: Path, model: Model) -> None:
    text = refused(path, "can not grow", size="1MiB")
    assert f"has {SIZE} bytes, but the size option says {1 << 20}" in text
    assert "fsck" not in text
    with opened(path) as pipeline:
        holds(pipeline, model)


@pytest.mark.parametrize("size", ["512KiB", "1MiB"])
def test_format_begins_anew_and_nothing_comes_back(path: Path, model: Model, size: str) -> None:
    os.truncate(path, SIZE - 4096)
    with opened(path, device={"format": True, "size": size}) as pipeline:
        holds(pipeline, {})
        pipeline.store(7, page("text", 7, 3))
    assert len(blocks(path)) == 1
    with opened(path, device={"size": size}) as pipeline:
        holds(pipeline, {7: page("text", 7, 3)})


@pytest.mark.parametrize("left", [0, 4096, SIZE - 1])
def test_zeros_are_nobodys(path: Path, left: int) -> None:
    path.write_bytes(bytes(left))
    opened(path).close()
    assert path.stat().st_size == SIZE


def test_repair_gives_up_what_was_behind_the_end(path: Path, model: Model, capsys: Capture) -> None:
    block, _ = newest_with(path, 7)
    behind = {slot for slot in model if newest_with(path, slot)[0] >= block}
    os.truncate(path, block + 100)
    assert main(["fsck", str(path), "--repair"]) == 1
    assert "not 524288: what was behind them is lost" in capsys.readouterr().out
    assert path.stat().st_size == SIZE
    assert fsck(path, capsys)[1]["findings"] == []
    with opened(path) as pipeline:
        holds(pipeline, model, model.keys() - behind)
        for slot in behind:  # an older version, perhaps, but never a wrong one
            old = page("random" if slot == 3 else "word" if slot == 2 else "text", slot, 1)
            assert load(pipeline, slot) in (None, old, bytes(len(old)))


def test_repair_of_one_that_lost_nothing_but_room(path: Path, model: Model) -> None:
    os.truncate(path, SIZE - 1)
    refused(path, "`coldpress fsck --repair`")
    assert main(["fsck", str(path), "--repair"]) == 1  # who knows
    assert main(["fsck", str(path)]) == 0
    with opened(path) as pipeline:
        holds(pipeline, model)


def test_repair_says_why_it_can_not_extend_the_file(
    path: Path, model: Model, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(path, SIZE - 1)
    before = path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["fsck", str(path), "--repair"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{path} can not be {SIZE} bytes long: No space left on device")
    assert same(path.read_bytes()[: len(before)], before)


def test_whose_a_file_is_either_superblock_tells(
    path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's reads fail before a device has read anything."""
    pread = os.pread

    def fails(fd: int, length: int, offset: int) -> bytes:
        if offset < 4096:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", fails)
    with opened(path) as pipeline:
        holds(pipeline, model)
    with pytest.raises(coldpress.DeviceUnusable, match="what a persistent pipeline keeps"):
        coldpress.open(shape(path, device={"persistent": False}))
