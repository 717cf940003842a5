"""`coldpress inspect`: what an image has, as the pipeline that opens it has it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from images import BLOCK, SLOTS, blocks, filled, flip, newest_with, opened, shape
from keys import key_file

from coldpress.cli import main
from coldpress.superblock import decode
from coldpress.testing.pages import PAGE, page

Capture = pytest.CaptureFixture[str]


def inspected(path: Path, capsys: Capture, *options: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["inspect", str(path), "--json", *options]) == 0
    out, err = capsys.readouterr()
    assert not err
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_figures_are_the_pipeline_s(path: Path, capsys: Capture) -> None:
    for version in (1, 2):
        model = filled(path, version)
    before = path.read_bytes()
    found = inspected(path, capsys)
    assert path.read_bytes() == before
    with opened(path) as pipeline:
        stats, store = pipeline.stats(), pipeline._store
        (home,) = store.space.members
        assert found["blocks"]["count"] == home.space.count
        assert found["blocks"]["live_bytes"] == stats.live_bytes
    slots = found["slots"]
    assert slots["objects"] + slots["folio_pages"] + slots["words"] == len(model)
    assert (slots["folio_pages"], slots["words"], slots["tombstones"]) == (2, 2, 1)
    image = memoryview(before)
    both = [decode(image), decode(image[decode(image).area :])]
    newest = max(both, key=lambda one: one.generation)
    one = found["superblock"]
    assert (one["uuid"], one["epoch"]) == (newest.uuid.hex(), newest.epoch)
    assert (one["page_size"], one["block"], one["slots"]) == (PAGE, BLOCK, SLOTS)
    assert [row["generation"] for row in found["superblocks"]] == [x.generation for x in both]
    assert [row["state"] for row in found["superblocks"]].count("counts") == 1
    assert {row["name"] for row in found["ids"]} == {"lz4", "filled"}
    headers = blocks(path)  # as the opening has left them
    states = found["blocks"]["states"]
    assert states["good"] + states.get("dead", 0) == len(headers)
    assert sum(states.values()) == found["blocks"]["count"]
    assert sum(found["blocks"]["fill"]) == states["good"]
    sequences = [one.identity.sequence for one in headers.values()]
    span = found["blocks"]["sequences"]
    assert (span["least"], span["greatest"]) == (min(sequences), max(sequences))
    live = {newest_with(path, slot)[0] for slot in (5, *model)}
    ages = sorted(max(sequences) - headers[at].identity.sequence for at in live)
    assert len(ages) > 2
    assert found["blocks"]["oldest_age"] == ages[-1] > 0
    assert found["blocks"]["median_age"] == ages[(len(ages) - 1) // 2]
    payload = sum(one.payload for one in headers.values())
    assert found["blocks"]["live_bytes"] + found["blocks"]["dead_bytes"] == payload


def test_all_records_of_a_slot_are_shown_the_newest_first(path: Path, capsys: Capture) -> None:
    filled(path)
    with opened(path) as pipeline:
        pipeline.store(17, page("text", 17, 2))
    rows = inspected(path, capsys, "--slot", "17")["records"]
    assert [row["why"] for row in rows] == ["newest", "superseded"]
    assert [row["counts"] for row in rows] == [True, False]
    block, inline = newest_with(path, 17)
    area = decode(memoryview(path.read_bytes())).area
    assert (rows[0]["block"], rows[0]["offset"]) == ((block - 2 * area) // BLOCK, inline)
    assert (rows[0]["order"], rows[1]["order"], rows[1]["slot"]) == (0, 1, 16)
    assert rows[1]["live_slots"] == [16]
    assert rows[0]["sequence"] > rows[1]["sequence"]
    (empty,) = [row for row in inspected(path, capsys, "--slot", "5")["records"] if row["counts"]]
    assert (empty["kind"], empty["why"]) == ("tombstone", "newest: the slot is empty")
    assert inspected(path, capsys, "--slot", "50")["records"] == []
    flip(path, inline + 40)
    assert inspected(path, capsys, "--slot", "17")["records"][0]["why"] == "newest, but damaged"


def test_a_block_is_shown_with_its_header_and_records(path: Path, capsys: Capture) -> None:
    filled(path)
    block, _ = newest_with(path, 3)
    header = blocks(path)[block]
    number = (block - 2 * decode(memoryview(path.read_bytes())).area) // BLOCK
    row = inspected(path, capsys, "--block", str(number))
    assert (row["state"], row["offset"]) == ("good", block)
    assert row["header"]["sequence"] == header.identity.sequence
    assert row["header"]["object_bytes"] == header.payload
    newest = max(one.identity.sequence for one in blocks(path).values())
    assert row["header"]["age"] == newest - header.identity.sequence > 0
    shown = [(one["slot"], one["length"], one["offset"] - block) for one in row["records"]]
    assert shown == [(one.slot, one.length, one.place) for one in header.records]
    assert {one["problem"] for one in row["records"]} == {""}
    assert {one["codec"] for one in row["records"] if one["slot"] == 3} == {"stored"}
    flip(path, block + 60)
    assert inspected(path, capsys, "--block", str(number))["state"] == "salvaged"


def test_without_json_it_is_a_table(path: Path, capsys: Capture) -> None:
    filled(path)
    for options in ([], ["--slot", "7"], ["--block", "0"]):
        capsys.readouterr()
        assert main(["inspect", str(path), *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines
        assert all("\t" in line for line in lines)


def test_a_slot_without_records_is_said_to_have_none(path: Path, capsys: Capture) -> None:
    filled(path)
    capsys.readouterr()
    assert main(["inspect", str(path), "--slot", "50"]) == 0
    assert capsys.readouterr() == ("", "coldpress: slot 50 has no records\n")
    assert inspected(path, capsys, "--slot", "50")["records"] == []  # and nothing else is said


def test_an_image_without_a_block_has_no_ages(path: Path, capsys: Capture) -> None:
    opened(path).close()
    found = inspected(path, capsys)["blocks"]
    assert (found["oldest_age"], found["median_age"]) == (None, None)
    assert main(["inspect", str(path)]) == 0
    assert "block ages\t-\n" in capsys.readouterr().out


def test_numbers_that_are_not_there_are_refused(path: Path, capsys: Capture) -> None:
    filled(path)
    for option, says in (("--slot", "slots 0 to 63"), ("--block", "blocks 0 to 30")):
        for number in ("-1", "64"):
            assert main(["inspect", str(path), f"{option}={number}"]) == 2
            assert says in capsys.readouterr().err


def test_what_a_killed_forgetful_pipeline_has_left_is_told(path: Path, capsys: Capture) -> None:
    script = f"""
import coldpress, os, signal
pipeline = coldpress.open({shape(path, device={"persistent": False})!r})
for slot in range(30):
    pipeline.store(slot, os.urandom(4096))
pipeline.sync()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    found = inspected(path, capsys)
    assert found["persistent"] is False
    assert (found["page_size"], found["block"]) == (PAGE, BLOCK)
    assert found["blocks_with_headers"] >= 10
    assert main(["inspect", str(path)]) == 0
    assert "nobody reads it again" in capsys.readouterr().out
    assert main(["inspect", str(path), "--slot", "1"]) == 2
    assert main(["fsck", str(path)]) == 2
    assert "no image of a persistent pipeline" in capsys.readouterr().err


def test_an_encrypted_image_shows_its_records_without_the_key(
    path: Path, tmp_path: Path, capsys: Capture
) -> None:
    key = key_file(tmp_path)
    filled(path, device={"encrypt": key})
    plain = inspected(path, capsys)
    known = inspected(path, capsys, "--key", key)
    assert plain["superblock"]["encrypted"]
    assert plain["ids"] == []
    assert {row["name"] for row in known["ids"]} == {"lz4", "filled"}
    assert plain["slots"] == known["slots"]
    assert plain["blocks"] == known["blocks"]


def test_either_superblock_alone_is_enough_to_look(path: Path, capsys: Capture) -> None:
    filled(path)
    whole = inspected(path, capsys)
    area = decode(memoryview(path.read_bytes())).area
    image = path.read_bytes()
    for at, name in ((0, "A"), (area, "B")):
        path.write_bytes(image)
        flip(path, at)  # not even the magic is left
        found = inspected(path, capsys)
        assert [row["name"] for row in found["superblocks"] if row["state"] == "damaged"] == [name]
        assert found["slots"] == whole["slots"]
