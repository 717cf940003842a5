"""A persistent device on a file system without room: what was never written can not be written."""

from __future__ import annotations

from pathlib import Path

import attrs
import images
import pytest
from contents import holds
from images import BLOCK, Model, shape
from media import FILES

import coldpress
from coldpress.component import Buffer
from coldpress.config import load_config
from coldpress.durablestore import DurableStore
from coldpress.pipeline import Pipeline
from coldpress.testing.crash import CrashDevice, Medium
from coldpress.testing.pages import PAGE, page
from coldpress_plugins.devices.fd import FdDevice

SIZE = 512 << 10
BLOCKS = 16 << 10  # where they begin, behind the superblocks


class Sparse(Medium):
    """Has no room but where something was written: of a write that needs more, a first part lands.

    Attributes: `grain`, bytes that get their room together; `full`, whether there is no more.
    """

    def __init__(self, image: Buffer, grain: int) -> None:
        super().__init__(image)
        self.grain = grain
        self.full = True
        starts = range(0, self.size, grain)
        self._there = {at for at in starts if at < BLOCKS or any(self.read(at, grain))}

    def write(self, offset: int, data: Buffer) -> None:
        data = bytes(data)
        for at in range(offset - offset % self.grain, offset + len(data), self.grain):
            if self.full and at not in self._there:
                super().write(offset, data[: max(0, at - offset)])
                raise coldpress.DeviceFull(f"write at {at}: No space left on device")
            self._there.add(at)
        super().write(offset, data)

    def discard(self, offset: int, length: int) -> None:
        self._there.difference_update(range(offset, offset + length, self.grain))
        super().discard(offset, length)


def opened(medium: Medium) -> Pipeline:
    config = load_config(shape(Path("of another device")))
    return Pipeline(attrs.evolve(config, device=CrashDevice.over(medium)), synchronous=True)


def killed(pipeline: Pipeline) -> None:
    """Leave it as a crash does: without a sync or a superblock."""
    assert isinstance(pipeline._store, DurableStore)
    pipeline._store._reopened = False
    pipeline._close()


def cut_short(room: int) -> tuple[bytes, Model]:
    """An image whose last block found room for so many bytes, and what is acknowledged in it."""
    model = {slot: page("random", slot, 1) for slot in range(30)}
    medium = Medium(bytes(SIZE))
    with opened(medium) as pipeline:
        for slot, data in model.items():
            pipeline.store(slot, data)
    pipeline = opened(medium)
    for slot in (1, 11, 21):  # so that no block becomes free by it
        pipeline.store(slot, page("random", slot, 2))
    before = medium.read(0, SIZE)
    pipeline.sync()
    killed(pipeline)
    after = medium.read(0, SIZE)
    (block,) = {at - at % BLOCK for at in range(BLOCKS, SIZE) if before[at] != after[at]}
    return after[: block + room] + before[block + room :], model


@pytest.mark.parametrize("room", [1024, 4096, 5120, 8192])
@pytest.mark.parametrize("grain", [1024, 4096])
def test_a_write_that_the_room_cut_short_keeps_no_pipeline_from_opening(
    grain: int, room: int
) -> None:
    image, model = cut_short(room)
    medium = Sparse(image, grain)
    for _ in range(2):
        with opened(medium) as pipeline:
            holds(pipeline, model)
    more = {slot: page("random", slot, 3) for slot in (50, 51, 52)}  # four pages with the header
    pipeline = opened(medium)
    for slot, data in more.items():
        pipeline.store(slot, data)
    for fails in (pipeline.sync, pipeline.close):
        with pytest.raises(coldpress.DeviceFull, match="No space left"):
            fails()
    with opened(medium) as pipeline:
        holds(pipeline, model)
        for slot, data in more.items():
            pipeline.store(slot, data)
        with pytest.raises(coldpress.DeviceFull, match="No space left"):
            pipeline.sync()
        holds(pipeline, model | more)
        medium.full = False
        pipeline.sync()
    with opened(medium) as pipeline:
        holds(pipeline, model | more)


def test_what_the_write_had_found_room_for_can_be_used() -> None:
    image, model = cut_short(2 * PAGE)
    medium = Sparse(image, PAGE)
    model[50] = page("random", 50, 3)
    with opened(medium) as pipeline:
        pipeline.store(50, model[50])
    with opened(medium) as pipeline:
        holds(pipeline, model)


@pytest.mark.parametrize("use", FILES)
def test_of_what_was_cut_short_only_that_is_written_over(
    path: Path, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, model = cut_short(PAGE + 1000)
    path.write_bytes(image)
    written: list[range] = []
    write = FdDevice.write

    def noted(self: FdDevice, offset: int, data: Buffer) -> None:
        if offset >= BLOCKS:
            assert offset % self.alignment == 0
            written.append(range(offset, offset + memoryview(data).nbytes))
        write(self, offset, data)

    monkeypatch.setattr(FdDevice, "write", noted)
    with images.opened(path, device={"use": use}) as pipeline:
        second, first = written
        assert all(len(one) <= PAGE and any(image[one.start : one.stop]) for one in written)
        holds(pipeline, model)
    assert first.start + PAGE == second.start
    assert not any(path.read_bytes()[first.start : second.stop])
