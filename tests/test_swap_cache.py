"""The swap cache: what is rewritten while it is hot is not compressed, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import pytest
from stress import shape
from writes import held_writes, slow_writes

import coldpress
from coldpress import Pipeline, PipelineClosed
from coldpress.config import load_config
from coldpress.testing.kit import with_plugin
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described
from coldpress.testing.threads import stamped_page, stress

PAGES = 64


def with_cache(**tables: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "slots": 4096,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": "1MiB"},
        "packer": {"use": "bounce", "block": "64KiB"},
        "device": {"use": "memory", "size": "32MiB"},
        "cache": {"pages": PAGES},
    }
    return described(base, **tables)


def opened(synchronous: bool, **tables: Any) -> Pipeline:
    return Pipeline(load_config(with_cache(**tables)), synchronous=synchronous)


either = pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])


class Compressions:
    """Counts a compressor's calls, and may hold them up."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.count = 0
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()
        codec, compress = pipeline._codecs.current

        def counted(data: coldpress.Buffer) -> bytes:
            self.count += 1
            self.begun.set()
            assert self.go.wait(60)
            result: bytes = compress(data)
            return result

        pipeline._codecs.current = codec, counted


@either
def test_a_page_rewritten_while_hot_is_not_compressed_each_time(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:
        compressions = Compressions(pipeline)
        for version in range(100):
            for slot in range(8):
                pipeline.store(slot, page("text", slot, version))
        assert compressions.count == 0
        stats = pipeline.stats()
        assert stats.cached_pages == stats.stored_pages == 8
        assert stats.cached_rewrites == 99 * 8
        assert stats.pool_bytes == 8 * PAGE
        assert pipeline.pool_resident_bytes() == 8 * PAGE
        for slot in range(8):
            assert pipeline.load(slot) == page("text", slot, 99)


@either
def test_never_more_pages_than_asked_for(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:
        for slot in range(400):
            pipeline.store(slot, page("text", slot, 0))
            assert pipeline.stats().cached_pages <= PAGES
        for slot in range(400):
            assert pipeline.load(slot) == page("text", slot, 0)
        assert pipeline.stats().cached_pages > 0


def test_the_thread_behind_it_keeps_places_free() -> None:
    with opened(False) as pipeline:
        for slot in range(PAGES):
            pipeline.store(slot, page("text", slot, 0))
        deadline = time.monotonic() + 30
        while pipeline.stats().cached_pages > PAGES * 3 // 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # What was stored first went first.
        entries = pipeline._entries
        cached = [s for s in range(PAGES) if entries.table.get(s) & 15 == entries.cache_tag]
        assert cached == list(range(PAGES - len(cached), PAGES))


def test_what_is_used_stays() -> None:
    with opened(True) as pipeline:
        for slot in range(300):
            pipeline.store(slot, page("text", slot, 0))
            assert pipeline.load(0) == page("text", 0, 0)
        entries = pipeline._entries
        assert entries.table.get(0) & 15 == entries.cache_tag


@either
def test_pages_that_need_no_room_do_not_enter_it(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:
        pipeline.store(0, page("text", 0, 0))
        pipeline.store(0, bytes(PAGE))
        assert pipeline.stats().cached_pages == 0
        assert pipeline.stats().pool_bytes == 0
        assert pipeline.load(0) == bytes(PAGE)
        pipeline.store(0, page("text", 0, 1))
        pipeline.invalidate(0)
        assert pipeline.stats().pool_bytes == 0


@attrs.define(slots=False, eq=False, kw_only=True)
class Asked(coldpress.EntryType):
    """Claims nothing, and remembers what it was offered."""

    name = "asked"
    offered: ClassVar[list[bytes]] = []

    def prepare(self, page: memoryview) -> None:
        self.offered.append(bytes(page))

    def fetch(self, slot: int, payload: int) -> None:
        raise AssertionError

    def decode(self, token: Any) -> bytes:
        raise AssertionError

    def release(self, payload: int) -> None:
        raise AssertionError


@pytest.mark.parametrize(("in_allocator", "times"), [(True, 1), (False, 2)])
def test_what_lies_in_the_allocator_is_offered_a_page_behind_the_cache(
    in_allocator: bool, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asked, "in_allocator", in_allocator)
    monkeypatch.setattr(Asked, "offered", [])
    source = with_cache(entries=["filled", "asked", "zswap", "raw"])
    registry = with_plugin("entry_type", Asked, alone=True)
    with Pipeline(load_config(source, registry=registry), synchronous=True) as pipeline:
        pipeline.store(0, page("text", 0, 0))
        assert len(Asked.offered) == times - 1
        pipeline.sync()
        assert Asked.offered == [page("text", 0, 0)] * times


@either
def test_folios_are_cached_and_compressed_whole(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:
        compressions = Compressions(pipeline)
        model: dict[int, bytes] = {}
        for base in range(0, 16 * 20, 16):
            pages = {slot: page("text", slot, 1) for slot in range(base, base + 16)}
            pipeline.store(base, b"".join(pages.values()))
            model |= pages
            model[base] = page("mixed", base, 2)  # the folio is known by its second slot now
            pipeline.store(base, model[base])
            pipeline.invalidate(base + 9)
            del model[base + 9]
        pipeline.sync()
        assert pipeline.stats().cached_pages == 0
        assert compressions.count <= 2 * 20
        for slot, data in model.items():
            assert pipeline.load(slot) == data
        assert pipeline.stats().stored_pages == len(model)


@either
def test_sync_drains_it(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:
        for slot in range(40):
            pipeline.store(slot, page("mixed", slot, 0))
        pipeline.sync()
        stats = pipeline.stats()
        assert stats.cached_pages == 0
        assert stats.payload_bytes == stats.compressed_bytes == stats.live_bytes
        for slot in range(40):
            assert pipeline.load(slot) == page("mixed", slot, 0)


def test_sync_waits_for_what_others_are_compressing() -> None:
    with opened(False) as pipeline:
        compressions = Compressions(pipeline)
        compressions.go.clear()
        for slot in range(PAGES):
            pipeline.store(slot, page("text", slot, 0))
        assert compressions.begun.wait(60)
        done = threading.Event()

        def sync() -> None:
            pipeline.sync()
            done.set()

        thread = threading.Thread(target=sync)
        thread.start()
        assert not done.wait(0.2)
        compressions.go.set()
        thread.join()
        assert pipeline.stats().live_bytes == pipeline.stats().compressed_bytes > 0


def test_a_page_rewritten_while_it_is_compressed_keeps_its_new_contents() -> None:
    with opened(False) as pipeline:
        compressions = Compressions(pipeline)
        compressions.go.clear()
        for slot in range(PAGES):
            pipeline.store(slot, page("text", slot, 0))
        assert compressions.begun.wait(60)  # that of slot 0
        pipeline.store(0, page("text", 0, 1))
        pipeline.store(1, page("text", 1, 1))
        compressions.go.set()
        pipeline.sync()
        for slot in range(PAGES):
            assert pipeline.load(slot) == page("text", slot, int(slot < 2))


def test_a_store_that_finds_no_place_is_compressed_at_once() -> None:
    with opened(False, cache={"pages": 1}) as pipeline:
        compressions = Compressions(pipeline)
        compressions.go.clear()
        pipeline.store(0, page("text", 0, 0))
        assert compressions.begun.wait(60)  # the only place is of a page on its way
        compressions.go.set()
        pipeline.store(1, page("text", 1, 0))
        assert pipeline.load(0) == page("text", 0, 0)
        assert pipeline.load(1) == page("text", 1, 0)


def test_close_ends_a_sync_that_waits_for_the_cache() -> None:
    pipeline = opened(False)
    slow_writes(pipeline, 0.05)
    for slot in range(2000):
        pipeline.store(slot, page("noise", slot, 0))
    caught: list[BaseException] = []

    def store() -> None:
        try:
            for slot in range(2000, 4000):
                pipeline.store(slot, page("noise", slot, 0))
                pipeline.sync()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=store)
    thread.start()
    time.sleep(0.3)
    pipeline.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [PipelineClosed]


def test_threads_race_with_the_cache() -> None:
    slots = 4000
    config = load_config(shape(slots, cache={"pages": 50}))
    with Pipeline(config) as pipeline:
        slow_writes(pipeline, 0.001)

        def enough() -> bool:
            stats = pipeline.stats()
            return stats.cached_rewrites > 0 and stats.refaults > 500

        report = stress(pipeline, slots, 2, enough=enough)
        assert enough()
        stats = pipeline.stats()
    assert not report.wrong
    assert not report.errors
    assert stats.pool_bytes_peak <= stats.pool_limit


def test_what_is_stored_during_a_sync_does_not_hide_what_it_replaces() -> None:
    # Otherwise neither the old contents nor the new would be on the device after it.
    with opened(False) as pipeline:
        for slot in range(40):
            pipeline.store(slot, page("mixed", slot, 1))
        begun, go = held_writes(pipeline)
        sync = threading.Thread(target=pipeline.sync)
        sync.start()
        assert begun.wait(60)  # the first block; slot 39 comes in a later one
        pipeline.store(39, page("mixed", 39, 2))
        assert pipeline.stats().cached_pages == 0
        go.set()
        sync.join()
        with pipeline._gate.lock:
            assert not list(pipeline._entries.dirty())
        pipeline.store(0, page("text", 0, 3))
        assert pipeline.stats().cached_pages == 1  # open again


@either
def test_pages_of_a_cached_folio_are_rewritten_in_it(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:
        model = {slot: page("text", slot, 1) for slot in range(16)}
        pipeline.store(0, b"".join(model.values()))
        for slot in range(16):
            model[slot] = page("text", slot, 2)
            pipeline.store(slot, model[slot])
        pair = {slot: page("text", slot, 3) for slot in (4, 5)}
        pipeline.store(4, b"".join(pair.values()))
        model |= pair
        stats = pipeline.stats()
        assert stats.pool_bytes == 16 * PAGE
        assert stats.cached_rewrites == 18
        assert all(pipeline.load(slot) == data for slot, data in model.items())
        pipeline.sync()
        assert all(pipeline.load(slot) == data for slot, data in model.items())


@either
def test_low_watermarks_leave_the_cache_its_room(synchronous: bool) -> None:
    tables = {"writeback": {"high": "40%", "accept": "30%"}, "cache": {"pages": 100}}
    with opened(synchronous, **tables) as pipeline:
        for slot in range(1000):
            pipeline.store(slot, stamped_page(slot, 0))
        deadline = time.monotonic() + 60
        while pipeline._writeback.due:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # What the cache holds can not be written back: that is no reason to write all the rest.
        assert len(pipeline.config.policy) > 20
        stats = pipeline.stats()  # both of one moment: writeback goes on, down to `accept`
        assert stats.payload_bytes > 0.9 * stats.writeback_bytes


def publishes_what_was_compressed_before_a_change(pipeline: Pipeline) -> None:
    pipeline._entries.changed = lambda slot, word: None  # type: ignore[method-assign]


def rewrites_without_telling_its_order(pipeline: Pipeline) -> None:
    pipeline._cache._order.insert = lambda slot, warm=False: None  # type: ignore[method-assign]


def leaks_its_room(pipeline: Pipeline) -> None:
    pipeline._entries.cache_type.release = lambda payload: None  # type: ignore[method-assign]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (
            publishes_what_was_compressed_before_a_change,
            test_a_page_rewritten_while_it_is_compressed_keeps_its_new_contents,
        ),
        (rewrites_without_telling_its_order, lambda: test_sync_drains_it(True)),
        (leaks_its_room, lambda: test_pages_that_need_no_room_do_not_enter_it(True)),
    ],
    ids=lambda one: one.__name__,
)
def test_a_planted_fault_is_seen(
    fault: Callable[[Pipeline], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Pipeline.__init__

    def broken(self: Pipeline, *args: Any, **more: Any) -> None:
        original(self, *args, **more)
        fault(self)

    monkeypatch.setattr(Pipeline, "__init__", broken)
    with pytest.raises((AssertionError, coldpress.ColdpressError, ValueError)):
        check()
