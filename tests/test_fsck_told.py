"""A repair that does not come to its end tells what it found, and what it has done so far."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from images import Model, damaged_header, damaged_object, holds
from verdicts import Capture, fsck, kinds

import coldpress
from coldpress.cli import main
from coldpress_plugins.devices.file import FileDevice

LOST = {8, 20, 30}


@pytest.fixture
def damaged(path: Path, model: Model) -> Path:
    """Pages are lost, and in another block are some that have to be moved."""
    for slot in LOST:
        damaged_object(slot)(path)
    damaged_header(path)
    return path


def after(patch: pytest.MonkeyPatch, stores: int, what: Callable[[], None]) -> None:
    """Before the repair stores anything more than this."""
    store = coldpress.Pipeline.store
    left = iter(range(stores))

    def counted(self: coldpress.Pipeline, slot: int, data: coldpress.Buffer) -> None:
        if next(left, None) is None:
            what()
        store(self, slot, data)

    patch.setattr(coldpress.Pipeline, "store", counted)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def no_writes(self: FileDevice, offset: int, data: coldpress.Buffer) -> None:
    raise coldpress.DeviceError(f"write at offset {offset} failed: EIO")


def unplug(patch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: patch.setattr(FileDevice, "write", no_writes)


def repair(path: Path, capsys: Capture, *options: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(["fsck", str(path), "--repair", *options])
    out, err = capsys.readouterr()
    return status, out, err


def told(path: Path, capsys: Capture) -> tuple[int, dict[str, Any], str]:
    status, out, err = repair(path, capsys, "--json")
    return status, json.loads(out), err


def test_ctrl_c_tells_what_was_found_and_done(
    damaged: Path, model: Model, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = damaged.read_bytes()
    with monkeypatch.context() as patch:
        after(patch, 3, press)
        status, out, err = repair(damaged, capsys)
    assert (status, err) == (130, "coldpress: interrupted\n")
    *findings, last = out.splitlines()
    assert len(findings) == len(LOST) + 1
    assert "repair not finished: 3 slots lost, " in last
    assert last.endswith(" emptied, 4 moved, 0 blocks cleared; run it again")
    damaged.write_bytes(whole)
    with monkeypatch.context() as patch:
        after(patch, 3, press)
        status, result, err = told(damaged, capsys)
    assert (status, err) == (130, "coldpress: interrupted\n")
    assert kinds(result) == ["header", "object"]
    assert set(result["lost_slots"]) == LOST
    assert not result["repaired"]["finished"]
    assert (result["repaired"]["moved"], result["repaired"]["voided"]) == (4, 0)
    assert set(result["repaired"]["lost"]) < LOST
    status, result = fsck(damaged, capsys, "--repair")
    assert (status, result["repaired"]["finished"]) == (1, True)
    assert fsck(damaged, capsys)[1]["findings"] == []
    holds(damaged, model, without=LOST)


def test_an_error_of_the_device_tells_it_too(
    damaged: Path, model: Model, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        after(patch, 3, unplug(patch))
        status, result, err = told(damaged, capsys)
    assert status == 1
    (line,) = err.splitlines()
    assert line.startswith("coldpress: error: ")
    assert "EIO" in line
    assert set(result["lost_slots"]) == LOST
    assert result["repaired"]["moved"]
    assert not result["repaired"]["finished"]
    assert fsck(damaged, capsys, "--repair")[0] == 1
    assert fsck(damaged, capsys)[1]["findings"] == []
    holds(damaged, model, without=LOST)
