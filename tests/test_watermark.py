"""How far a persistent device is durable, W, when writes to it have failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from contents import holds
from device_sets import BLOCK, fill, opened
from images import damaged_object
from writes import Writes, always, never

from coldpress import Buffer, CorruptBlock, DeviceError, Pipeline
from coldpress.block import read_head, write_header
from coldpress.durablestore import DurableStore
from coldpress.image import Image, read_persistent
from coldpress.testing.pages import PAGE, page, same
from coldpress_plugins.devices.file import FileDevice


def kept(path: Path) -> Pipeline:
    return opened(device={"use": "file", "path": str(path), "size": "4MiB", "persistent": True})


def store_of(pipeline: Pipeline) -> DurableStore:
    assert isinstance(pipeline._store, DurableStore)
    return pipeline._store


def is_durable(pipeline: Pipeline) -> bool:
    """Whether W is all that was written."""
    store = store_of(pipeline)
    return store._durable == store._sequence


def durable(path: Path) -> int:
    with Image(str(path)) as image:
        return read_persistent(image).superblock.durable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cold.img"


@pytest.mark.parametrize("full", [False, True])
def test_a_write_that_failed_once_does_not_keep_later_blocks_from_being_trusted(
    path: Path, full: bool
) -> None:
    """Else a damaged one of them would be taken for a write that was cut short, and be cleared."""
    with kept(path) as pipeline:
        tries = iter(range(1000))
        Writes(pipeline, lambda _: next(tries) == 0, full=full)
        for version in range(3):
            model = fill(pipeline, 60, version=version)
            pipeline.sync()
            assert is_durable(pipeline)
        newest = store_of(pipeline)._sequence
    assert durable(path) >= newest
    damaged_object(30)(path)
    with kept(path) as again:
        with pytest.raises(CorruptBlock):
            again.load(30)
        for slot in model.keys() - {30}:
            assert same(again.load(slot), model[slot])


def test_a_block_that_can_never_be_written_does_not_either(path: Path) -> None:
    bad: set[int] = set()
    with kept(path) as pipeline:
        Writes(pipeline, lambda offset: not bad or offset in bad or offset - 4096 in bad)
        before = pipeline.config.device.write

        def write(offset: int, data: Any) -> None:
            try:
                before(offset, data)
            except DeviceError:
                bad.add(offset)
                raise

        pipeline.config.device.write = write  # type: ignore[method-assign]
        for version in range(2):
            fill(pipeline, 60, version=version)
            pipeline.sync()
            assert is_durable(pipeline)
        assert bad


def test_copies_of_a_failed_write_hold_it_up_until_they_are_cleared_away(path: Path) -> None:
    """They are as old as what they are copies of, and the later of two copies counts."""
    with kept(path) as pipeline:
        model = fill(pipeline, 60)
        pipeline.sync()
        store = store_of(pipeline)
        with pipeline._gate.lock:
            block = store.space.acquire()
            sequence = store.next_identity(block).sequence
            pipeline.config.device.write(block, page("random", 4, 9))  # a part that has landed
            store.failed(block, DeviceError("Input/output error"), "moving", copies=True)
        writes = Writes(pipeline, lambda offset: block <= offset < block + store.packer.block)
        for version in (1, 2):
            pipeline.store(3, page("text", 3, version))
            pipeline.sync()
            assert store._durable == sequence - 1
        writes.fails = never
        pipeline.store(3, page("text", 3, 3))
        pipeline.sync()
        assert is_durable(pipeline)
        assert not any(path.read_bytes()[block : block + store.packer.block])
        assert same(pipeline.load(4), model[4])


def test_what_was_cut_short_and_is_not_synced_since_is_not_trusted(path: Path) -> None:
    pipeline = kept(path)
    fill(pipeline, 60)
    pipeline.sync()
    store = store_of(pipeline)
    before = store._durable
    writes = Writes(pipeline, always)
    pipeline.store(3, page("text", 3, 1))
    with pytest.raises(DeviceError):
        pipeline.sync()
    writes.fails = never
    with pipeline._gate.lock:
        store.flush()
    assert store._durable == before
    pipeline.close()


def test_a_block_that_was_cut_short_and_can_not_be_cleared_keeps_nobody_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it trusted later."""
    with kept(path) as pipeline:
        model = fill(pipeline, 60)
        pipeline.sync()
        (home,) = store_of(pipeline).space.members
        torn = home.space.start + home.space.count * BLOCK - BLOCK  # where nothing is yet
        whole = max(home.space.used, key=home.space.stamp)
        number = home.space.number(torn)
    cut_short(path, whole, torn, number)
    is_bad = True
    real = FileDevice.write

    def write(self: FileDevice, offset: int, data: Buffer) -> None:
        if is_bad and offset < torn + BLOCK and offset + len(data) > torn:
            raise DeviceError("Input/output error")
        real(self, offset, data)

    monkeypatch.setattr(FileDevice, "write", write)
    for is_bad in (True, True, False):
        with kept(path) as again:
            assert any(path.read_bytes()[torn : torn + BLOCK]) == is_bad
            holds(again, model)
            for slot in range(3):
                model[slot] = page("text", slot, store_of(again).superblock.generation)
                again.store(slot, model[slot])
            again.sync()
            assert is_durable(again) != is_bad


def cut_short(path: Path, whole: int, torn: int, number: int) -> None:
    """Write a later block than the one at `whole`, but for its objects."""
    image = bytearray(path.read_bytes())
    head = read_head(memoryview(image)[whole : whole + BLOCK], PAGE)
    later = attrs.evolve(head.identity, sequence=head.identity.sequence + 9, number=number)
    image[torn : torn + BLOCK] = image[whole : whole + BLOCK]
    block = memoryview(image)[torn : torn + BLOCK]
    write_header(block, later, head.pages, head.count, head.payload)
    path.write_bytes(image)
