"""The swap cache when a codec, an allocator, the memory or the device fails."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from test_swap_cache import PAGES, either, opened

import coldpress
from coldpress import DeviceError, Pipeline, PoolFull
from coldpress.testing.pages import PAGE, page
from coldpress.testing.threads import stamped_page


def zswap_of(pipeline: Pipeline) -> Any:
    return next(one for one in pipeline.config.entry_types if one.name == "zswap")


def test_a_compressor_s_fault_loses_nothing() -> None:
    with opened(True) as pipeline:
        codec, compress = pipeline._codecs.current

        def broken(data: coldpress.Buffer) -> bytes:
            raise RuntimeError("a codec's fault")

        pipeline._codecs.current = codec, broken
        for slot in range(PAGES):
            pipeline.store(slot, page("text", slot, 0))
        with pytest.raises(RuntimeError, match="a codec's fault"):
            pipeline.store(PAGES, page("text", PAGES, 0))
        for slot in range(PAGES):
            assert pipeline.load(slot) == page("text", slot, 0)
        pipeline._codecs.current = codec, compress
        pipeline.store(PAGES, page("text", PAGES, 0))
        assert pipeline.load(PAGES) == page("text", PAGES, 0)


def test_a_fault_while_committing_puts_the_pages_back() -> None:
    with opened(True) as pipeline:
        entry = next(one for one in pipeline.config.entry_types if one.name == "zswap")
        alloc = entry._alloc  # type: ignore[attr-defined]

        def broken(data: bytes, owner: int) -> int:
            raise RuntimeError("an allocator's fault")

        for slot in range(PAGES):
            pipeline.store(slot, page("text", slot, 0))
        entry._alloc = broken  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="an allocator's fault"):
            pipeline.store(PAGES, page("text", PAGES, 0))
        entry._alloc = alloc  # type: ignore[attr-defined]
        for slot in range(PAGES):
            assert pipeline.load(slot) == page("text", slot, 0)
        pipeline.sync()
        assert pipeline.stats().cached_pages == 0


def test_a_fault_among_several_that_leave_changes_none() -> None:
    with opened(True, allocator={"limit": "256KiB"}, cache={"pages": 16}) as pipeline:
        for slot in range(16):
            pipeline.store(slot, page("mixed", slot, 1))
        entry, calls = zswap_of(pipeline), iter(range(100))
        alloc = entry._alloc

        def broken(data: bytes, owner: int) -> int:
            if next(calls) == 2:
                raise RuntimeError("an allocator's fault")
            handle: int = alloc(data, owner)
            return handle

        entry._alloc = broken
        with pipeline._gate.lock, pytest.raises(RuntimeError, match="an allocator's fault"):
            pipeline._cache.shrink(16)
        for slot in range(16):
            assert pipeline.load(slot) == page("mixed", slot, 1)
        assert pipeline.stats().pool_bytes == 16 * PAGE


def test_no_memory_for_a_copy_leaves_everything_in_order() -> None:
    with opened(False) as pipeline:
        for slot in range(16):
            pipeline.store(slot, page("text", slot, 1))
        kind, calls = pipeline._entries.cache_type, iter(range(100))
        fetch = kind.fetch

        def short(slot: int, payload: int) -> Any:
            if next(calls) == 2:
                raise MemoryError
            return fetch(slot, payload)

        kind.fetch = short  # type: ignore[method-assign]
        with pipeline._gate.lock, pytest.raises(MemoryError):
            pipeline._cache.shrink()
        pipeline.sync()  # which would wait for ever for what is half on its way
        assert pipeline.stats().cached_pages == 0


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_the_thread_lives_on_after_a_codec_s_fault(error: type[Exception]) -> None:
    with opened(False) as pipeline:
        failed = threading.Event()
        codec, compress = pipeline._codecs.current

        def once(data: coldpress.Buffer) -> bytes:
            if not failed.is_set() and threading.current_thread().name == "coldpress-cache":
                failed.set()
                raise error("once")
            result: bytes = compress(data)
            return result

        pipeline._codecs.current = codec, once
        for slot in range(PAGES):
            pipeline.store(slot, page("text", slot, 0))
        assert failed.wait(60)
        deadline = time.monotonic() + 60
        while pipeline.stats().cached_pages > PAGES * 3 // 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@either
def test_with_nowhere_to_go_all_room_is_used_before_a_store_is_refused(synchronous: bool) -> None:
    with opened(synchronous) as pipeline:

        def fail(offset: int, data: coldpress.Buffer) -> None:
            raise DeviceError("out of order")

        pipeline.config.device.write = fail  # type: ignore[method-assign]
        stored = 0
        with pytest.raises(PoolFull, match="out of order"):
            for slot in range(4096):
                pipeline.store(slot, stamped_page(slot, 0))
                stored += 1
        stats = pipeline.stats()
        assert stats.stored_pages == stored
        # Not a pool of uncompressed pages: what had not been compressed for want of need is now.
        assert stats.compressed_bytes > 0.75 * stats.pool_limit
        with pytest.raises((PoolFull, DeviceError)):
            pipeline.sync()
        for slot in range(stored):
            assert pipeline.load(slot) == stamped_page(slot, 0)
