"""What comes along with an object that is read back, and how many reads are in flight."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import small

import coldpress
from coldpress import CorruptBlock, DeviceError, Pipeline, SlotEmpty
from coldpress.config import load_config
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described

COUNT = 600


def shape(**tables: Any) -> dict[str, Any]:
    base = small.shape(
        {"use": "bounce", "block": "64KiB"},
        allocator={"limit": "512KiB"},
        writeback={"readahead": True},
    )
    return described(base, **tables)


def filled(*, synchronous: bool = True, **tables: Any) -> Pipeline:
    """A pipeline with COUNT pages, stored in order, of which the pool holds a quarter."""
    pipeline = Pipeline(load_config(shape(**tables)), synchronous=synchronous)
    for slot in range(COUNT):
        pipeline.store(slot, page("text", slot, 0))
    assert pipeline.stats().written_back_pages > COUNT / 2
    return pipeline


def far(pipeline: Pipeline) -> list[int]:
    """The slots whose objects are on the device alone."""
    entries = pipeline._entries
    return [s for s in range(COUNT) if entries.table.get(s) & 15 == entries.device_tag]


def test_the_block_s_other_objects_come_along() -> None:
    with filled() as pipeline:
        before = pipeline.stats()
        assert pipeline.load(0) == page("text", 0, 0)
        after = pipeline.stats()
        assert after.device_reads - before.device_reads == 1
        assert after.refaults == 1
        assert 20 < after.readahead_pages == after.promoted_pages - 1
        assert after.device_read_bytes - before.device_read_bytes == 64 << 10
        # Stored after slot 0, evicted after it, and so beside it: served by the pool now.
        for slot in range(1, after.readahead_pages):
            assert pipeline.load(slot) == page("text", slot, 0)
        assert pipeline.stats().refaults == 1


def test_a_scan_takes_one_read_a_block() -> None:
    reads = {}
    for readahead in (False, True):
        with filled(writeback={"readahead": readahead, "promote": "first"}) as pipeline:
            before = pipeline.stats().device_reads
            for slot in range(COUNT):
                assert pipeline.load(slot) == page("text", slot, 0)
            stats = pipeline.stats()
            reads[readahead] = stats.device_reads - before
            assert stats.pool_bytes_peak <= stats.pool_limit
            assert stats.inversions == 0
            assert (stats.readahead_pages > 0) == readahead
    assert reads[True] < reads[False] / 10


def test_what_came_along_leaves_without_a_write() -> None:
    with filled() as pipeline:
        for slot in range(COUNT):
            pipeline.load(slot)
        written = pipeline.stats().written_back_pages
        drops = pipeline.stats().clean_drops
        for slot in range(COUNT):
            pipeline.load(slot)
        assert pipeline.stats().written_back_pages == written
        assert pipeline.stats().clean_drops > drops


def test_with_second_only_an_object_that_returns_brings_others() -> None:
    with filled(writeback={"promote": "second"}) as pipeline:
        pipeline.load(0)
        assert pipeline.stats().promoted_pages == 0
        assert pipeline.stats().device_read_bytes < PAGE
        pipeline.load(0)
        assert pipeline.stats().readahead_pages > 20


def test_what_changed_meanwhile_does_not_come_along() -> None:
    with filled() as pipeline:
        pipeline.store(3, page("mixed", 3, 1))
        pipeline.invalidate(4)
        pipeline.load(0)
        assert pipeline.load(3) == page("mixed", 3, 1)
        with pytest.raises(SlotEmpty):
            pipeline.load(4)
        assert pipeline.load(5) == page("text", 5, 0)
        assert pipeline.stats().refaults == 1


def test_a_block_that_was_written_again_while_it_was_read_brings_nothing() -> None:
    with filled() as pipeline:
        read = pipeline.config.device.read_into
        slots = far(pipeline)

        def change(offset: int, buffer: memoryview) -> None:
            read(offset, buffer)
            pipeline.config.device.read_into = read  # type: ignore[method-assign]
            for slot in slots:  # no object of any block is alive any more
                pipeline._entries.empty(slot)
            for slot in slots:
                pipeline.store(slot, page("text", slot, 7))

        pipeline.config.device.read_into = change  # type: ignore[method-assign]
        pipeline.load(slots[0])  # as it was when it was looked up, or as it is
        for slot in slots:
            assert pipeline.load(slot) == page("text", slot, 7)


def test_a_damaged_neighbour_does_not_come_along_and_harms_nobody() -> None:
    with filled() as pipeline:
        entries, device = pipeline._entries, pipeline.config.device
        offset, _ = entries.device_type.locate(entries.table.get(2) >> 5)
        device.write(offset + 40, b"\xff\xff\xff\xff")
        assert pipeline.load(0) == page("text", 0, 0)
        assert pipeline.stats().readahead_pages > 20
        assert pipeline.load(3) == page("text", 3, 0)
        with pytest.raises(CorruptBlock, match="slot 2"):
            pipeline.load(2)


def test_a_damaged_header_costs_the_readahead_alone() -> None:
    with filled() as pipeline:
        entries, device = pipeline._entries, pipeline.config.device
        offset, _ = entries.device_type.locate(entries.table.get(0) >> 5)
        space = pipeline._store.space.members[0].space
        device.write(space.start_of(offset) + 8, b"\xff\xff\xff\xff")
        assert pipeline.load(0) == page("text", 0, 0)
        assert pipeline.stats().readahead_pages == 0


def test_pages_alone_in_their_blocks_bring_nothing() -> None:
    with filled(packer={"use": "page", "block": "4KiB"}) as pipeline:
        pipeline.load(0)
        assert pipeline.stats().promoted_pages == 1
        assert pipeline.stats().readahead_pages == 0


def test_folios_come_along_too() -> None:
    with Pipeline(load_config(shape()), synchronous=True) as pipeline:
        model: dict[int, bytes] = {}
        for base in range(0, COUNT, 4):
            pages = {slot: page("text", slot, 1) for slot in range(base, base + 4)}
            pipeline.store(base, b"".join(pages.values()))
            model |= pages
            if base % 16 == 0:
                model[base] = page("mixed", base, 2)
                pipeline.store(base, model[base])
        pipeline.load(far(pipeline)[0])
        assert pipeline.stats().readahead_pages > 20
        for slot, data in model.items():
            assert pipeline.load(slot) == data


def test_the_page_that_was_asked_for_is_the_warmest() -> None:
    with filled() as pipeline:
        pipeline.load(0)
        order = list(pipeline.config.policy.order())
        assert order[-1] == 0
        assert len(order) > 20


def test_a_load_does_not_fail_with_its_promotion() -> None:
    with filled(packer={"use": "page", "block": "4KiB"}) as pipeline:
        codec, _ = pipeline._codecs.current

        def broken(data: coldpress.Buffer) -> bytes:
            raise RuntimeError("a codec's fault")

        pipeline._codecs.current = codec, broken
        assert pipeline.load(0) == page("text", 0, 0)
        assert pipeline.stats().promoted_pages == 0


def test_nothing_is_compressed_for_a_promotion_that_is_not_due() -> None:
    tables = {
        "packer": {"use": "page", "block": "4KiB"},
        "writeback": {"promote": "second", "readahead": False},
    }
    with filled(**tables) as pipeline:
        codec, compress = pipeline._codecs.current
        calls: list[int] = []

        def counted(data: coldpress.Buffer) -> bytes:
            calls.append(len(data))
            result: bytes = compress(data)
            return result

        pipeline._codecs.current = codec, counted
        pipeline.load(0)
        assert (len(calls), pipeline.stats().promoted_pages) == (0, 0)
        pipeline.load(0)
        assert (len(calls), pipeline.stats().promoted_pages) == (1, 1)


class InFlight:
    """How many reads of a device are going on at once, each for a little while."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.most = self.now = 0
        lock, read = threading.Lock(), pipeline.config.device.read_into
        several = threading.Event()

        def counted(offset: int, buffer: memoryview) -> None:
            with lock:
                self.now += 1
                self.most = max(self.most, self.now)
                if self.most > 1:
                    several.set()
            several.wait(0.2)
            read(offset, buffer)
            with lock:
                self.now -= 1

        pipeline.config.device.read_into = counted  # type: ignore[method-assign]


def on_file(path: Any, **writeback: Any) -> dict[str, Any]:
    return {
        "device": {"use": "file", "path": str(path / "cold.img")},
        "writeback": {"readahead": False, "promote": "never", **writeback},
    }


def on_nvme(path: Any, **writeback: Any) -> dict[str, Any]:
    tables = on_file(path, **writeback)
    tables["device"]["use"] = "nvme"
    return tables


def test_load_many_keeps_several_reads_in_flight(tmp_path: Any) -> None:
    with filled(synchronous=False, **on_nvme(tmp_path)) as pipeline:
        reads = InFlight(pipeline)
        out = bytearray(64 * PAGE)
        pipeline.load_many(0, out)
        assert bytes(out) == b"".join(page("text", slot, 0) for slot in range(64))
        assert 1 < reads.most <= pipeline.config.device.queue_depth
        assert pipeline.stats().refaults >= 64


def test_load_many_is_one_read_at_a_time_where_more_do_not_pay() -> None:
    with filled(synchronous=False, writeback={"readahead": False}) as pipeline:
        reads = InFlight(pipeline)
        pipeline.load_many(0, bytearray(16 * PAGE))
        assert reads.most == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_load_many_fails_at_the_first_that_fails(tmp_path: Any, threads: int) -> None:
    with filled(synchronous=False, **on_file(tmp_path)) as pipeline:
        pipeline._loads._reads = threads
        read, where = pipeline.config.device.read_into, pipeline._entries.device_type.locate
        bad = {where(pipeline._entries.table.get(slot) >> 5)[0] for slot in (9, 20)}

        def fail(offset: int, buffer: memoryview) -> None:
            if offset in bad:
                raise DeviceError(f"no read at {offset}")
            read(offset, buffer)

        pipeline.config.device.read_into = fail  # type: ignore[method-assign]
        out = bytearray(64 * PAGE)
        with pytest.raises(DeviceError, match="slot 9:"):
            pipeline.load_many(0, out)
        assert bytes(out[: 9 * PAGE]) == b"".join(page("text", slot, 0) for slot in range(9))
        pipeline.invalidate(5)
        with pytest.raises(SlotEmpty, match="slot 5 "):
            pipeline.load_many(0, out)


def test_load_many_while_the_slots_change(tmp_path: Any) -> None:
    with filled(synchronous=False, **on_nvme(tmp_path, promote="first")) as pipeline:
        stop = threading.Event()
        versions = [0] * COUNT

        def change() -> None:
            version = 1
            while not stop.is_set():
                for slot in range(0, COUNT, 7):
                    pipeline.store(slot, page("text", slot, version))
                    versions[slot] = version
                    stop.wait(0.001)  # making pages would keep the interpreter from all readers
                version += 1

        thread = threading.Thread(target=change)
        thread.start()
        seen: list[tuple[list[int], bytes, list[int]]] = []
        out = bytearray(COUNT * PAGE)
        try:
            for _ in range(4):
                before = list(versions)
                pipeline.load_many(0, out)
                seen.append((before, bytes(out), list(versions)))
        finally:
            stop.set()
            thread.join()
    for before, pages, after in seen:
        for slot in range(COUNT):
            got = pages[slot * PAGE : (slot + 1) * PAGE]
            version = int.from_bytes(got[4:8], "little")
            assert got == page("text", slot, version)
            assert before[slot] <= version <= after[slot] + 1


def test_close_during_load_many_is_a_closed_pipeline(tmp_path: Any) -> None:
    pipeline = filled(synchronous=False, **on_nvme(tmp_path))
    begun = threading.Event()
    caught: list[BaseException] = []
    read = pipeline.config.device.read_into

    def slow(offset: int, buffer: memoryview) -> None:
        begun.set()
        read(offset, buffer)

    pipeline.config.device.read_into = slow  # type: ignore[method-assign]

    def load() -> None:
        try:
            while True:
                pipeline.load_many(0, bytearray(256 * PAGE))
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    assert begun.wait(60)
    pipeline.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [coldpress.PipelineClosed]


def test_a_device_that_fails_to_close_leaves_no_threads(tmp_path: Any) -> None:
    pipeline = filled(synchronous=False, **on_nvme(tmp_path))
    pipeline.load_many(0, bytearray(64 * PAGE))
    close = pipeline.config.device.close

    def fail() -> None:
        close()
        raise DeviceError("close failed")

    pipeline.config.device.close = fail  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="close failed"):
        pipeline.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("coldpress")]
