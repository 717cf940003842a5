"""What a pipeline promises, over the combinations of compressor, allocator and device."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from contents import holds

from coldpress import (
    CorruptBlock,
    Device,
    FolioShape,
    PageLength,
    Pipeline,
    PipelineClosed,
    PoolFull,
    SlotEmpty,
    SlotRange,
)
from coldpress.testing.pages import PAGE, any_page, page

Start = Callable[..., Pipeline]
MANY = 600  # pages; with those that do not shrink about three times the pool


def fill(pipeline: Pipeline, count: int = MANY) -> dict[int, bytes]:
    model = {slot: any_page(slot, 0) for slot in range(count)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    return model


def test_what_was_stored_comes_back_from_ram_and_device(pipeline: Pipeline) -> None:
    model = fill(pipeline)
    before = pipeline.stats()
    holds(pipeline, model, model)
    after = pipeline.stats()
    assert before.written_back_pages > MANY // 4
    assert after.refaults > MANY // 4
    assert (after.device_reads > after.refaults) == (after.cleaned_blocks > 0)
    assert after.stored_pages == MANY
    assert after.pool_bytes_peak <= after.pool_limit
    compressed = pipeline.config.packer.keeps_compressed
    assert after.writeback_decompressions == (0 if compressed else after.written_back_pages)
    once = after.payload_bytes - after.cleaned_bytes  # without what the cleaner wrote again
    # A zspage takes objects along that have a copy on the device already, and are no payload.
    dead = 0 if pipeline.config.packer.whole_zspages else after.dead_bytes
    assert after.live_bytes + dead == once


def test_overwritten_and_invalidated_slots(pipeline: Pipeline) -> None:
    model = fill(pipeline)
    rng = random.Random(5)
    for version in range(1, 4):
        for slot in rng.sample(range(MANY), 150):
            if version == 2:
                pipeline.invalidate(slot)
                model.pop(slot, None)
            else:
                model[slot] = any_page(slot, version)
                pipeline.store(slot, model[slot])
    holds(pipeline, model, model)
    for slot in set(range(MANY)) - set(model):
        with pytest.raises(SlotEmpty, match=f"slot {slot} is empty"):
            pipeline.load(slot)
        pipeline.invalidate(slot)
    assert pipeline.stats().stored_pages == len(model)
    for slot in range(MANY):
        pipeline.invalidate(slot)
    pipeline.sync()  # drops the block that was staged, with nothing live in it any more
    empty = pipeline.stats()
    assert empty.stored_pages == empty.compressed_bytes == empty.live_bytes == 0
    assert empty.pool_bytes == empty.device_bytes == empty.dead_bytes == 0


def test_batches_are_consecutive_slots(pipeline: Pipeline) -> None:
    data = b"".join(any_page(slot, 1) for slot in range(40))
    pipeline.store_many(100, data)
    back = bytearray(len(data))
    pipeline.load_many(100, back)
    assert back == data
    one = bytearray(PAGE)
    pipeline.load_into(139, one)
    assert one == data[-PAGE:]
    with pytest.raises(SlotEmpty):
        pipeline.load(140)
    with pytest.raises(SlotRange):
        pipeline.store_many(4095, bytes(2 * PAGE))
    for wrong in (b"", bytes(PAGE + 1)):
        with pytest.raises(PageLength):
            pipeline.store_many(0, wrong)


def test_wrong_calls_name_what_is_wrong(pipeline: Pipeline) -> None:
    for slot in (-1, 4096, 1 << 70):
        with pytest.raises(SlotRange, match=r"outside 0\.\.4095"):
            pipeline.load(slot)
        with pytest.raises(SlotRange):
            pipeline.store(slot, bytes(PAGE))
        with pytest.raises(SlotRange):
            pipeline.invalidate(slot)
    for wrong in (b"", bytes(PAGE - 1), bytes(3 * PAGE), bytes(32 * PAGE)):
        with pytest.raises(PageLength, match=f"1, 2, 4, 8 or 16 .* 4096 bytes, not {len(wrong)}"):
            pipeline.store(0, wrong)
    for pages in (2, 4, 8, 16):
        with pytest.raises(FolioShape, match=f"a multiple of {pages}, not at {pages + 1}"):
            pipeline.store(pages + 1, bytes(pages * PAGE))
    for size in (PAGE + 1, 2 * PAGE):
        with pytest.raises(PageLength):
            pipeline.load_into(0, bytearray(size))
    with pytest.raises(KeyError):
        pipeline.load(0)


def test_sync_writes_each_dirty_object_once(pipeline: Pipeline) -> None:
    model = fill(pipeline, 120)
    pipeline.sync()
    first = pipeline.stats()
    assert first.payload_bytes >= first.compressed_bytes > 0
    holds(pipeline, model, model)
    pipeline.sync()
    assert pipeline.stats().writeback_blocks == first.writeback_blocks
    model[7] = page("text", 7, 9)
    pipeline.store(7, model[7])
    pipeline.sync()
    assert pipeline.stats().writeback_blocks == first.writeback_blocks + 1
    holds(pipeline, model, model)


def test_synced_objects_leave_the_pool_without_a_write(pipeline: Pipeline) -> None:
    model = {slot: page("text", slot, 0) for slot in range(60)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    pipeline.sync()
    written = pipeline.stats().writeback_blocks
    for slot in range(1000, 1000 + MANY):
        model[slot] = page("mixed", slot, 0)
        pipeline.store(slot, model[slot])
    after = pipeline.stats()
    assert after.clean_drops >= 50
    assert after.writeback_blocks > written
    holds(pipeline, model, model)


def test_an_object_read_twice_is_promoted_and_dropped_clean(pipeline: Pipeline) -> None:
    model = fill(pipeline)
    pipeline.sync()  # and the writers come to rest
    for slot in range(MANY - 300, MANY):  # room in the pool
        pipeline.invalidate(slot)
        del model[slot]
    cold = [slot for slot in range(MANY - 300) if model[slot][:8] != model[slot][8:16]][:20]
    written = pipeline.stats().writeback_blocks
    for expected in (20, 40, 40):
        for slot in cold:
            assert pipeline.load(slot) == model[slot]
        assert pipeline.stats().refaults == expected
    assert pipeline.stats().promoted_pages == 20
    assert pipeline.stats().writeback_blocks == written
    model |= fill(pipeline)  # the same again: the promoted ones are overwritten or dropped
    holds(pipeline, model, model)


def test_a_full_device_loses_nothing(start: Start) -> None:
    with start(limit="256KiB", size="1MiB", slots=2000) as pipeline:
        model: dict[int, bytes] = {}
        with pytest.raises(PoolFull, match="256KiB and nothing can be written out: the device is"):
            for slot in range(2000):
                model[slot] = page("noise", slot, 0)
                pipeline.store(slot, model[slot])
        refused = max(model)
        del model[refused]
        holds(pipeline, model, model)
        with pytest.raises(SlotEmpty):
            pipeline.load(refused)
        with pytest.raises(PoolFull):
            pipeline.store(3, page("noise", 3, 1))
        holds(pipeline, model, model)
        for slot in range(refused // 2):
            pipeline.invalidate(slot)
            del model[slot]
        for slot in range(refused // 4):
            model[slot] = page("noise", slot, 2)
            pipeline.store(slot, model[slot])
        holds(pipeline, model, model)


def damage(device: Device) -> None:
    """Change a few bytes of every page, behind the device's back where it has a file."""
    places = range(3 << 12, device.size, 1000)  # where the cleaner has left what is alive
    if hasattr(device, "path"):
        with Path(device.path).open("r+b") as file:
            for offset in places:
                byte = os.pread(file.fileno(), 1, offset) or b"\0"
                os.pwrite(file.fileno(), bytes([byte[0] ^ 4]), offset)
        return
    buffer = bytearray(1)
    for offset in places:
        device.read_into(offset, memoryview(buffer))
        device.write(offset, bytes([buffer[0] ^ 4]))


def test_changed_bytes_are_named_never_returned(start: Start) -> None:
    with start(writeback={"promote": "never"}) as pipeline:  # reading changes nothing
        model = fill(pipeline)
        pipeline.sync()  # nothing that is on its way shall overwrite the damage
        length = pipeline.config.packer.block
        damage(pipeline.config.device)
        damaged = 0
        for slot, data in model.items():
            try:
                assert pipeline.load(slot) == data
            except CorruptBlock as error:
                damaged += 1
                assert error.slot == slot
                block = 2 * PAGE + error.block * length
                assert block <= error.offset < block + length
                assert str(error).startswith(f"slot {slot}: block {error.block}, device offset")
        assert damaged > 20
        assert pipeline.stats().stored_pages == MANY


def test_a_closed_pipeline_says_so(pipeline: Pipeline) -> None:
    fill(pipeline)
    pipeline.close()
    pipeline.close()
    for call in (
        lambda: pipeline.load(0),
        lambda: pipeline.load(MANY - 1),
        lambda: pipeline.store(0, bytes(PAGE)),
        lambda: pipeline.invalidate(0),
        pipeline.sync,
        pipeline.compact,
    ):
        with pytest.raises(PipelineClosed):
            call()


def test_threads_see_their_own_pages(start: Start) -> None:
    errors: list[BaseException] = []
    with start(limit="256KiB") as pipeline:

        def work(start: int) -> None:
            rng = random.Random(start)
            mine: dict[int, bytes] = {}
            try:
                for version in range(400):
                    slot = start + rng.randrange(80)
                    if rng.random() < 0.6:
                        data = any_page(slot, version)
                        pipeline.store(slot, data)
                        mine[slot] = data
                    elif rng.random() < 0.2:
                        pipeline.invalidate(slot)
                        mine.pop(slot, None)
                    elif slot in mine:
                        assert pipeline.load(slot) == mine[slot]
                    else:
                        with pytest.raises(SlotEmpty):
                            pipeline.load(slot)
                holds(pipeline, mine, mine)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert pipeline.stats().pool_bytes_peak <= 256 << 10
