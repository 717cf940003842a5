"""A repair that has little room, is cut short or comes late, and those that need a key."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import attrs
import forgeries
import pytest
from contents import load
from images import (
    BLOCK,
    Damage,
    Model,
    blocks,
    damaged_copy,
    damaged_header,
    damaged_object,
    filled,
    flip,
    holds,
    newest_with,
    opened,
    overwrite,
)
from keys import key_file
from verdicts import Capture, fsck, kinds

import coldpress
import coldpress.repair
from coldpress.cli import main
from coldpress.fsck import of_blocks
from coldpress.image import Image, read_persistent
from coldpress.repair import Repaired, repair
from coldpress.survey import Survey
from coldpress.testing.crash import CrashDevice, Loss, Medium
from coldpress.testing.pages import PAGE, page, same


def test_a_full_device_has_room_for_its_repair(path: Path, capsys: Capture) -> None:
    """All headers are damaged, so all pages move, and there is room for those of a few blocks."""
    shape: dict[str, Any] = {"device": {"size": "256KiB"}, "allocator": {"limit": "64KiB"}}
    with opened(path, **shape) as pipeline:
        for slot in range(27):
            pipeline.store(slot, page("random", slot, 1))
        pipeline.sync()
        used = pipeline.stats().device_bytes
    assert used > 140 << 10  # of 15 blocks, of which 4 are kept back
    for at in blocks(path):
        flip(path, at + 57)
    status, result = fsck(path, capsys, "--repair")
    assert (status, result["repaired"]["moved"], result["repaired"]["refused"]) == (0, 27, 0)
    assert fsck(path, capsys)[1]["findings"] == []
    with opened(path, **shape) as pipeline:
        for slot in range(27):
            assert same(pipeline.load(slot), page("random", slot, 1))


def test_ctrl_c_ends_the_repair_in_order(
    path: Path, model: Model, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = damaged_everywhere(path)
    store = coldpress.Pipeline.store

    def pressed(self: coldpress.Pipeline, slot: int, data: coldpress.Buffer) -> None:
        signal.raise_signal(signal.SIGINT)
        store(self, slot, data)

    with monkeypatch.context() as patch:
        patch.setattr(coldpress.Pipeline, "store", pressed)
        assert main(["fsck", str(path), "--repair"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert fsck(path, capsys, "--repair")[0] == 1
    assert fsck(path, capsys)[1]["findings"] == []
    holds(path, model, without=lost)


def damaged_everywhere(path: Path) -> set[int]:
    """A header, objects, copies and a tombstone; the slots that are lost."""
    for slot in (8, 20, 30, 2):
        damaged_object(slot)(path)
    for slot in (10, 16, 5):
        damaged_copy(slot)(path)
    damaged_header(path)
    return {8, 20, 30, 2}


def test_a_crash_amid_the_repair_loses_nothing_more(
    path: Path, model: Model, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = damaged_everywhere(path)
    copies = {10, 16, 17}  # not lost, but no load gives them before they are repaired
    medium = Medium(path.read_bytes())
    config = coldpress.repair._config

    def on_medium(*args: Any) -> Any:
        return attrs.evolve(config(*args), device=CrashDevice.over(medium))

    with monkeypatch.context() as patch:
        patch.setattr(coldpress.repair, "_config", on_medium)
        assert fsck(path, capsys, "--repair")[0] == 1
    assert medium.events > 20
    rng = random.Random(7)
    losses: list[Loss] = ["power", "process"]
    for event in range(0, medium.events + 1, 2):
        path.write_bytes(medium.after_crash(event, rng.choice(losses), rng))
        with opened(path) as pipeline:
            for slot, data in model.items():
                try:
                    found = load(pipeline, slot)
                except coldpress.CorruptBlock:
                    assert slot in lost | copies
                else:
                    assert (found is None and slot in lost) or same(found, data), f"slot {slot}"
            pipeline._store._reopened = False  # type: ignore[attr-defined]
            pipeline._close()
        assert fsck(path, capsys, "--repair")[0] in (0, 1)
        assert fsck(path, capsys)[1]["findings"] == []
        holds(path, model, without=lost)


def wiped(path: Path) -> None:
    overwrite(path, newest_with(path, 7)[0], bytes(PAGE))


@pytest.mark.parametrize("damage", [damaged_object(7), wiped])
def test_what_was_changed_meanwhile_is_not_repaired(
    path: Path, model: Model, damage: Damage
) -> None:
    damage(path)
    image = Image(str(path))
    found = read_persistent(image)
    survey = Survey(image, found)
    looks = [look for look, _ in of_blocks(survey, lambda step: None)]
    image.close()
    opened(path).close()
    if damage is wiped:  # written to before a pipeline is opened
        before = path.read_bytes()
    with pytest.raises(coldpress.DeviceUnusable, match="changed since it was looked at"):
        repair(
            image,
            found,
            looks,
            "",
            lambda done, count: None,
            lambda: False,
            Repaired(),
            lambda looks: None,
        )
    if damage is wiped:
        assert path.read_bytes() == before


def test_an_encrypted_image_is_verified_without_its_key_and_repaired_with_it(
    path: Path, tmp_path: Path, capsys: Capture
) -> None:
    key, other = key_file(tmp_path), key_file(tmp_path, "other")
    sealed = {"device": {"encrypt": key}}
    filled(path, 1, **sealed)
    model = filled(path, 2, **sealed)
    for options in ([], ["--key", key]):
        assert fsck(path, capsys, *options)[0] == 0
    assert main(["fsck", str(path), "--key", other]) == 2
    assert "is not the one" in capsys.readouterr().err
    # An object of another slot, with a checksum that is right for it: only the key tells.
    image = bytearray(path.read_bytes())
    newest = forgeries.of_slot(memoryview(image), BLOCK, 7)[-1]
    newest.become(newest.record, bytes([newest.body[0] ^ 1]))
    path.write_bytes(image)
    assert fsck(path, capsys)[0] == 0
    status, result = fsck(path, capsys, "--key", key)
    assert status == 1
    assert 7 in result["lost_slots"] or "header" in kinds(result)
    assert fsck(path, capsys, "--repair")[0] == 0  # nothing is seen without the key
    assert fsck(path, capsys, "--key", key, "--repair")[0] == 1
    assert fsck(path, capsys, "--key", key)[1]["findings"] == []
    with opened(path, **sealed) as pipeline:
        assert load(pipeline, 7) is None
        assert all(same(load(pipeline, slot), model[slot]) for slot in model if slot != 7)


def test_an_encrypted_image_is_not_repaired_without_its_key(
    path: Path, tmp_path: Path, capsys: Capture
) -> None:
    key = key_file(tmp_path)
    filled(path, 1, device={"encrypt": key})
    damaged_object(7)(path)
    before = path.read_bytes()
    capsys.readouterr()
    assert main(["fsck", str(path), "--repair"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--key" in line
    assert path.read_bytes() == before
