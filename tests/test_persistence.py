"""A persistent device: what is there after a close, what is refused, what damage does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contents
import pytest
import zstandard

import coldpress
from coldpress import flat
from coldpress.block import HEADER_BYTES, MAGIC, RECORD_BYTES, read_header
from coldpress.config import load_config
from coldpress.durablestore import DurableStore
from coldpress.superblock import decode
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described

SLOTS = 128
BLOCK = 16 << 10
Describe = Callable[..., dict[str, Any]]


@pytest.fixture
def shape(path: Path) -> Describe:
    def make(**tables: Any) -> dict[str, Any]:
        small = {
            "slots": SLOTS,
            "compressor": {"use": "lz4"},
            "allocator": {"limit": "256KiB"},
            "packer": {"block": "16KiB"},
            "device": {"use": "file", "path": str(path), "size": "2MiB", "persistent": True},
        }
        return described(small, **tables)

    return make


def filled(pipeline: coldpress.Pipeline, version: int = 1) -> dict[int, bytes]:
    kinds = ("text", "mixed", "random", "zero", "word")
    model = {slot: page(kinds[slot % 5], slot, version) for slot in range(0, SLOTS, 2)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    return model


def holds(pipeline: coldpress.Pipeline, model: dict[int, bytes]) -> None:
    assert pipeline.stats().stored_pages == len(model)
    contents.holds(pipeline, model)


@pytest.mark.parametrize("packer", ["bounce", "zsmalloc", "zspage", "aligned"])
@pytest.mark.parametrize("synchronous", [True, False])
def test_a_closed_pipeline_is_there_again(shape: Describe, packer: str, synchronous: bool) -> None:
    described = shape(packer={"use": packer}, cache={"pages": 4})
    model: dict[int, bytes] = {}
    for round_ in range(4):
        with coldpress.Pipeline(load_config(described), synchronous=synchronous) as pipeline:
            holds(pipeline, model)
            model |= filled(pipeline, round_)
            for slot in range(round_, SLOTS, 7):
                pipeline.invalidate(slot)
                model.pop(slot, None)
            folio = [page("text", slot, round_) for slot in range(8)]
            pipeline.store(8 * round_, b"".join(folio))
            model |= {8 * round_ + n: one for n, one in enumerate(folio)}
            pipeline.store(8 * round_ + 3, bytes(PAGE))
            model[8 * round_ + 3] = bytes(PAGE)


def test_what_the_system_has_swapped_out_of_the_tables_is_found(
    shape: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a table that is not in RAM need not be one that was never touched."""
    with coldpress.open(shape()) as pipeline:
        model = filled(pipeline)
    monkeypatch.setattr(flat, "_resident_pages", lambda view: 0)
    with coldpress.open(shape()) as pipeline:
        holds(pipeline, model)


def test_a_device_that_forgets_still_forgets(shape: Describe, path: Path) -> None:
    with coldpress.open(shape(device={"persistent": False})) as pipeline:
        filled(pipeline)
        pipeline.sync()
    assert not path.exists()


def test_what_is_superseded_is_pending_until_it_is_durable(shape: Describe) -> None:
    with coldpress.Pipeline(load_config(shape()), synchronous=True) as pipeline:
        filled(pipeline)
        pipeline.sync()
        before = pipeline.stats()
        assert (before.pending_bytes, before.dead_bytes) == (0, 0)
        for slot in range(0, SLOTS, 2):
            pipeline.invalidate(slot)
        after = pipeline.stats()
        assert after.live_bytes == 0
        assert after.pending_bytes == before.live_bytes
        pipeline.sync()
        assert pipeline.stats().pending_bytes == 0
        assert pipeline.stats().live_bytes == SLOTS // 2 * 2 * RECORD_BYTES  # of tombstones


def test_another_pipeline_is_refused_with_what_differs(shape: Describe, path: Path) -> None:
    with coldpress.open(shape()) as pipeline:
        model = filled(pipeline)
    other = shape(slots=SLOTS // 2, packer={"block": "32KiB"})
    before = path.read_bytes()
    with pytest.raises(coldpress.ConfigError) as caught:
        coldpress.open(other)
    text = str(caught.value)
    assert "[packer] block is 16KiB there and 32KiB here" in text
    assert f"slots is {SLOTS} there and {SLOTS // 2} here" in text
    assert "format = true" in text
    assert path.read_bytes() == before
    with coldpress.open(shape(device={"format": True})) as pipeline:
        holds(pipeline, model)  # nothing differs, so nothing is given up
    with coldpress.open(described(other, device={"format": True})) as pipeline:
        assert pipeline.stats().stored_pages == 0
        pipeline.store(1, page("text", 1, 9))
    with coldpress.open(other) as pipeline:
        assert pipeline.stats().stored_pages == 1


def test_a_pipeline_that_forgets_does_not_wipe_one_that_keeps(shape: Describe, path: Path) -> None:
    with coldpress.open(shape()) as pipeline:
        model = filled(pipeline)
    with pytest.raises(coldpress.DeviceError, match="persistent = true opens it"):
        coldpress.open(shape(device={"persistent": False}))
    with coldpress.open(shape()) as pipeline:
        holds(pipeline, model)
    coldpress.open(shape(device={"persistent": False, "format": True})).close()


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"device": {"use": "memory", "path": None}}, "'persistent' in \\[device\\] memory"),
        ({"device": {"path": None}}, "a file without 'path'"),
        ({"packer": {"use": "page", "block": "4KiB"}}, "'page' writes no records"),
    ],
)
def test_what_can_not_come_back_is_refused(
    shape: Describe, tables: dict[str, Any], says: str
) -> None:
    asked = shape(**tables)
    if asked["device"]["path"] is None:
        del asked["device"]["path"]
    with pytest.raises(coldpress.ConfigError, match=says):
        coldpress.open(asked)


def test_other_compressors_read_what_they_made(shape: Describe, tmp_path: Path) -> None:
    samples = [page("text", slot, slot) for slot in range(400)]
    dictionary = tmp_path / "pages.dict"
    dictionary.write_bytes(zstandard.train_dictionary(4096, samples).as_bytes())
    zstd = {"use": "zstd", "dictionary": str(dictionary)}
    with coldpress.open(shape(compressor=zstd)) as pipeline:
        model = filled(pipeline)
        pipeline.reconfigure({"compressor": {"use": "brotli"}})
        pipeline.store(1, page("text", 1, 3))
        model[1] = page("text", 1, 3)
    dictionary.unlink()
    for _ in range(2):
        with coldpress.open(shape()) as pipeline:
            holds(pipeline, model)
            pipeline.store(3, page("text", 3, 5))
            model[3] = page("text", 3, 5)
            assert pipeline.stats().retired_codec_pages > 0


def test_a_missing_entry_type_is_told_before_anything_is_lost(shape: Describe) -> None:
    with coldpress.open(shape()) as pipeline:
        model = filled(pipeline)
    with pytest.raises(coldpress.ConfigError, match="'entries' does not name"):
        coldpress.open(shape(entries=["zswap", "raw"]))
    with coldpress.open(shape()) as pipeline:
        holds(pipeline, model)


def blocks(image: bytes) -> list[int]:
    """The offsets of all blocks with a header."""
    area = decode(memoryview(image)).area
    starts = range(2 * area, len(image) - BLOCK + 1, BLOCK)
    return [at for at in starts if image[at : at + 4] == MAGIC]


def test_a_damaged_header_hides_nothing(shape: Describe, path: Path) -> None:
    with coldpress.open(shape()) as pipeline:
        model = filled(pipeline)
    image = bytearray(path.read_bytes())
    for at in blocks(image):
        image[at + 8 : at + HEADER_BYTES + 24] = b"\xff" * (HEADER_BYTES + 16)
    path.write_bytes(image)
    with coldpress.open(shape()) as pipeline:
        holds(pipeline, model)


def test_a_damaged_object_is_named_and_never_an_older_one(shape: Describe, path: Path) -> None:
    for version in (1, 2):
        with coldpress.open(shape()) as pipeline:
            filled(pipeline, version)
    image = bytearray(path.read_bytes())
    for at in blocks(image):
        view = memoryview(image)[at : at + BLOCK]
        header = read_header(view, PAGE)
        for record in header.records:
            if record.length:
                view[record.place + 24 + record.length // 2] ^= 1
    path.write_bytes(image)
    with coldpress.Pipeline(load_config(shape()), synchronous=True) as pipeline:
        for slot in range(0, SLOTS, 2):
            with pytest.raises(coldpress.CorruptBlock, match=f"slot {slot}: "):
                pipeline.load(slot)


def test_either_superblock_is_enough_and_both_damaged_are_told(shape: Describe, path: Path) -> None:
    with coldpress.open(shape()) as pipeline:
        model = filled(pipeline)
    area = decode(memoryview(path.read_bytes())).area
    for which in (0, 1):
        image = bytearray(path.read_bytes())
        image[which * area + 20] ^= 1
        path.write_bytes(image)
        with coldpress.open(shape()) as pipeline:
            holds(pipeline, model)
    image = bytearray(path.read_bytes())
    image[20] ^= 1
    image[area + 20] ^= 1
    path.write_bytes(image)
    with pytest.raises(coldpress.ConfigError, match="both superblocks are damaged"):
        coldpress.open(shape())


def test_no_stale_memory_reaches_the_device(shape: Describe, path: Path) -> None:
    with coldpress.open(shape()) as pipeline:
        for version in range(3):
            filled(pipeline, version)
            pipeline.sync()
            for slot in range(0, SLOTS, 3):
                pipeline.invalidate(slot)
    image = path.read_bytes()
    assert len(blocks(image)) > 4
    for at in blocks(image):
        header = read_header(memoryview(image)[at : at + BLOCK], PAGE)
        end = max(record.place + 24 + record.length for record in header.records)
        # Nor is anything left of a longer block that was here before.
        assert not any(image[at + end : at + BLOCK])


def test_the_epoch_is_raised_by_every_opening(shape: Describe, path: Path) -> None:
    epochs = []
    for _ in range(3):
        coldpress.open(shape()).close()
        area = decode(memoryview(path.read_bytes())).area
        image = path.read_bytes()
        epochs.append(max(decode(memoryview(image)[at:]).epoch for at in (0, area)))
    assert epochs == [epochs[0], epochs[0] + 1, epochs[0] + 2]


def test_a_new_file_and_its_name_are_durable(
    shape: Describe, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        fsync(fd)
        synced.append(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    coldpress.open(shape()).close()
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_opener_is_refused(shape: Describe) -> None:
    with coldpress.open(shape()), pytest.raises(coldpress.DeviceError, match="in use"):
        coldpress.open(shape())


def test_the_watermark_stops_before_a_block_that_could_not_be_written_until_a_sync_goes_well(
    shape: Describe,
) -> None:
    with coldpress.Pipeline(load_config(shape()), synchronous=True) as pipeline:
        store, device = pipeline._store, pipeline.config.device
        assert isinstance(store, DurableStore)
        pipeline.store(0, page("text", 0, 1))
        pipeline.sync()
        assert (
            store.next_identity(store.space.members[0].space.start).durable == store._sequence - 1
        )
        store._writing.clear()
        write = device.write

        def fails(offset: int, data: coldpress.Buffer) -> None:
            raise coldpress.DeviceError("no")

        device.write = fails  # type: ignore[method-assign]
        pipeline.store(0, page("text", 0, 2))
        failed = store._sequence + 1
        with pytest.raises(coldpress.DeviceError, match="no"):
            pipeline.sync()
        device.write = write  # type: ignore[method-assign]
        with pipeline._gate.lock:
            store.flush()
        assert store._durable == failed - 1
        pipeline.sync()
        assert store._durable == store._sequence > failed


def test_progress_is_told(shape: Describe) -> None:
    coldpress.open(shape()).close()
    told: list[tuple[int, int]] = []
    with coldpress.Pipeline(
        load_config(shape()), progress=lambda done, count: told.append((done, count))
    ):
        pass
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] > 100


def test_sync_and_invalidate_work_on_a_full_device(shape: Describe) -> None:
    with coldpress.Pipeline(load_config(shape(device={"size": "256KiB"})), synchronous=True) as one:
        stored = 0
        with pytest.raises(coldpress.PoolFull):
            for stored in range(SLOTS):
                one.store(stored, page("random", stored, 1))
        for slot in range(stored * 3 // 4):
            one.invalidate(slot)
        one.sync()
        held = {slot: one.load(slot) for slot in range(stored * 3 // 4, stored)}
    with coldpress.open(shape(device={"size": "256KiB"})) as pipeline:
        holds(pipeline, held)
