"""Order, back-pressure and cleaning: what leaves, when, and who waits."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from stress import compressed
from writes import held_writes, slow_writes

from coldpress import Buffer, ColdpressError, DeviceError, OpenBlock, Pipeline, PoolFull
from coldpress.config import load_config
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described
from coldpress.testing.threads import run_threads, stamped_page

PACKERS = {
    "page": {"use": "page"},
    "zspage": {"use": "zspage"},
    "zsmalloc": {"use": "zsmalloc", "block": "8KiB"},
    "bounce": {"use": "bounce", "block": "16KiB"},
    "aligned": {"use": "aligned", "block": "16KiB"},
}
IN_ORDER = ["page", "zsmalloc", "bounce", "aligned"]


def shape(packer: dict[str, str], **tables: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "slots": 4096,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": "1MiB"},
        "packer": packer,
        "device": {"use": "memory", "size": "32MiB"},
        "writeback": {"promote": "first"},
    }
    return described(base, **tables)


class EventLog:
    """What a policy is told and what it names, written down from outside."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.events: list[tuple[str, int]] = []
        policy = pipeline.config.policy
        for name in ("insert", "touch", "remove", "restore"):
            setattr(policy, name, self._logged(name, getattr(policy, name)))
        evict = policy.evict

        def logged() -> int:
            slot = evict()
            self.events.append(("evict", slot))
            return slot

        policy.evict = logged  # type: ignore[method-assign]

    def _logged(self, name: str, call: Callable[..., None]) -> Callable[..., None]:
        def logged(slot: int, *args: Any, **more: Any) -> None:
            self.events.append((name, slot))
            call(slot, *args, **more)

        return logged

    def inversions(self) -> tuple[int, int]:
        """Victims that were not the least recently used slot, and all victims."""
        used: dict[int, None] = {}  # in order of the last use
        inversions = victims = 0
        for number, (what, slot) in enumerate(self.events):
            if what == "touch" and slot not in used:
                continue  # it is on its way to the device already
            if what in ("insert", "touch"):
                used.pop(slot, None)
                used[slot] = None
            elif what == "remove":
                used.pop(slot, None)
            elif what == "evict" and slot >= 0:
                undone = self.events[number + 1 : number + 2] == [("restore", slot)]
                if not undone:
                    victims += 1
                    inversions += next(iter(used)) != slot
                    del used[slot]
        return inversions, victims


def drive(pipeline: Pipeline, count: int = 4000) -> None:
    """Stores and loads, some slots much more often than others; every load is checked."""
    rng = random.Random(3)
    held: dict[int, int] = {}
    for version in range(count):
        slot = int(rng.random() ** 2 * 1500)
        if slot in held and rng.random() < 0.5:
            assert pipeline.load(slot) == page("mixed", slot, held[slot])
        else:
            pipeline.store(slot, page("mixed", slot, version))
            held[slot] = version


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
@pytest.mark.parametrize("packer", IN_ORDER)
def test_what_leaves_is_the_least_recently_used(packer: str, synchronous: bool) -> None:
    config = load_config(shape(PACKERS[packer]))
    with Pipeline(config, synchronous=synchronous) as pipeline:
        log = EventLog(pipeline)
        drive(pipeline)
        stats = pipeline.stats()
    inversions, victims = log.inversions()
    assert inversions == stats.inversions == 0
    assert victims > 500
    assert stats.young_share == 0
    assert (stats.writeback_decompressions > 0) == (packer == "page")


def test_page_decompresses_just_what_it_writes() -> None:
    with Pipeline(load_config(shape(PACKERS["page"])), synchronous=True) as pipeline:
        drive(pipeline)
        stats = pipeline.stats()
    assert stats.writeback_decompressions == stats.writeback_blocks == stats.written_back_pages
    assert stats.writeback_bytes == stats.writeback_blocks * PAGE


def test_whole_zspages_take_young_objects_along() -> None:
    with Pipeline(load_config(shape(PACKERS["zspage"])), synchronous=True) as pipeline:
        drive(pipeline)
        stats = pipeline.stats()
    assert stats.inversions > 100
    assert 0.1 < stats.young_share < 0.6
    assert stats.writeback_decompressions == 0


def test_a_newest_first_control_is_seen() -> None:
    with Pipeline(load_config(shape(PACKERS["bounce"])), synchronous=True) as pipeline:
        policy = pipeline.config.policy
        listed = policy._list  # type: ignore[attr-defined]

        def newest() -> int:
            slots = list(listed.from_tail())
            if slots:
                listed.remove(slots[-1])
            return slots[-1] if slots else -1

        policy.evict = newest  # type: ignore[method-assign]
        log = EventLog(pipeline)
        drive(pipeline, 1500)
        stats = pipeline.stats()
    inversions, victims = log.inversions()
    assert stats.inversions > 100
    assert inversions > 0.9 * victims
    assert stats.young_share > 0.9


@pytest.mark.parametrize("packer", PACKERS)
def test_every_packer_brings_everything_back(packer: str) -> None:
    with Pipeline(load_config(shape(PACKERS[packer]))) as pipeline:
        drive(pipeline)
        stats = pipeline.stats()
        assert stats.written_back_pages > 500
        assert stats.pool_bytes_peak <= stats.pool_limit


def test_writeback_starts_at_high_and_stops_at_accept() -> None:
    tables = {"writeback": {"high": "80%", "accept": "60%"}, "allocator": {"limit": "4MiB"}}
    with Pipeline(load_config(shape(PACKERS["bounce"], **tables)), synchronous=True) as pipeline:
        limit = 4 << 20
        last: list[int] = []  # the pool's bytes when the last block was begun
        next_block = pipeline._writeback.next_block

        def noted(target: int) -> OpenBlock | None:
            last[:] = [pipeline._budget.pressure]
            return next_block(target)

        pipeline._writeback.next_block = noted  # type: ignore[method-assign, assignment]
        blocks, levels = 0, []
        for slot in range(4000):
            before = pipeline._budget.pressure
            pipeline.store(slot, page("mixed", slot, 0))
            if pipeline.stats().writeback_blocks > blocks:
                blocks = pipeline.stats().writeback_blocks
                levels.append((before, *last, pipeline._budget.pressure))
        assert len(levels) > 3
        for before, at_last, after in levels:
            assert 0.80 * limit < before < 0.82 * limit
            # How far below the last one goes depends on what compaction finds.
            assert 0.60 * limit < at_last < 0.62 * limit
            assert after < 0.61 * limit


def test_loads_go_on_while_a_block_is_written() -> None:
    with Pipeline(load_config(shape(PACKERS["bounce"]))) as pipeline:
        for slot in range(400):
            pipeline.store(slot, page("mixed", slot, 0))
        pipeline.sync()
        begun, go = held_writes(pipeline)

        def fill() -> None:
            for slot in range(1000, 1300):
                pipeline.store(slot, page("noise", slot, 0))

        loaded: list[int] = []

        def load() -> None:
            for slot in range(400):
                assert pipeline.load(slot) == page("mixed", slot, 0)
                loaded.append(slot)

        threads = [threading.Thread(target=fill), threading.Thread(target=load)]
        threads[0].start()
        assert begun.wait(60)
        while not pipeline._backpressure.crowded:  # and now a store waits for room
            time.sleep(0.001)
        threads[1].start()
        threads[1].join(60)
        assert len(loaded) == 400  # no write has ended yet
        assert threads[0].is_alive()
        go.set()
        threads[0].join()


def test_many_storing_threads_do_not_empty_the_pool() -> None:
    # Each store that comes while one waits goes behind it, so that the queue is never empty.
    config = load_config(shape(PACKERS["bounce"], allocator={"limit": "4MiB"}))
    pages = [stamped_page(slot, 0) for slot in range(256)]
    with Pipeline(config) as pipeline:
        slow_writes(pipeline, 0.0005)
        lowest = pipeline._budget.limit
        stop = threading.Event()

        def store(number: int) -> None:
            for step in range(3000):
                if stop.is_set():
                    return
                pipeline.store((step * 8 + number) % 4096, pages[(step * 8 + number) % 256])

        def watch() -> None:
            nonlocal lowest
            while not stop.wait(0.001):
                if pipeline.stats().written_back_pages > 2000:
                    lowest = min(lowest, pipeline._budget.pressure)

        watcher = threading.Thread(target=watch)
        watcher.start()
        run_threads(store, 8)
        stop.set()
        watcher.join()
        assert pipeline.stats().written_back_pages > 4000
        # Writeback stops at 90 %; two blocks in flight and a compaction may go below that.
        assert lowest > 0.6 * pipeline._budget.limit


def test_a_store_that_is_slow_to_wake_up_does_not_empty_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a busy machine a thread that was told of its room gets to run long after.
    class Late(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            told = super().wait(timeout)
            self.release()
            time.sleep(0.02)
            self.acquire()
            return told

    table = shape(PACKERS["bounce"], allocator={"limit": "256KiB"}, writeback={"high": "99%"})
    with Pipeline(load_config(table)) as pipeline:
        held = []
        monkeypatch.setattr("coldpress.backpressure.threading.Condition", Late)
        for slot in range(400):
            pipeline.store(slot, page("noise", slot, 1))
            held.append(pipeline.stats().pool_bytes)
        assert pipeline.stats().written_back_pages > 200
        assert min(held[100:]) > pipeline._budget.limit // 2


def test_stores_wait_in_their_order() -> None:
    with Pipeline(load_config(shape(PACKERS["bounce"]))) as pipeline:
        slow_writes(pipeline, 0.2)
        for slot in range(180):
            pipeline.store(slot, page("noise", slot, 0))
        done: list[int] = []
        waiting = pipeline._backpressure
        full = threading.Event()

        def fill() -> None:
            for slot in range(1000, 1200):
                pipeline.store(slot, page("noise", slot, 0))
                if full.is_set():
                    break

        filler = threading.Thread(target=fill)
        filler.start()
        while not waiting.crowded:
            time.sleep(0.001)
        full.set()
        late = []
        for number in range(6):
            before = len(waiting._waiters)  # type: ignore[union-attr]

            def one(number: int = number) -> None:
                pipeline.store(2000 + number, page("noise", 2000 + number, 0))
                done.append(number)

            thread = threading.Thread(target=one)
            thread.start()
            late.append(thread)
            deadline = time.monotonic() + 5
            while len(waiting._waiters) <= before and not done:  # type: ignore[union-attr]
                assert time.monotonic() < deadline
                time.sleep(0.001)
        for thread in [filler, *late]:
            thread.join()
        assert done == sorted(done)


def test_overwriting_ten_times_the_device_cleans_cheaply() -> None:
    live, block = 2400, 32 << 10
    packed = sum(len(compressed(slot)) + 48 for slot in range(100)) * live // 100
    tables = {
        "allocator": {"limit": "512KiB"},
        "device": {"size": int(packed * 1.3)},
        "writeback": {"promote": "never"},
    }
    config = load_config(shape({"use": "bounce", "block": f"{block}B"}, **tables))
    with Pipeline(config, synchronous=True) as pipeline:
        rng = random.Random(1)
        for slot in range(live):
            pipeline.store(slot, stamped_page(slot, 0))
        pipeline.sync()
        held = dict.fromkeys(range(live), 0)
        size = config.device.size
        begin = pipeline.stats()
        fill = size / (begin.live_bytes + 48 * live)
        version = 0
        while pipeline.stats().payload_bytes - pipeline.stats().cleaned_bytes < 10 * size:
            for _ in range(200):
                version += 1
                slot = rng.randrange(live)
                pipeline.store(slot, stamped_page(slot, version))
                held[slot] = version
        stats = pipeline.stats()
        written = stats.payload_bytes - begin.payload_bytes
        amplification = written / (written - stats.cleaned_bytes)
        assert 1.2 < fill < 1.4
        assert stats.cleaned_blocks > 100
        assert amplification <= 3.0
        for slot, last in held.items():
            assert pipeline.load(slot) == stamped_page(slot, last)


def test_a_full_device_without_dead_blocks_says_so() -> None:
    config = load_config(shape(PACKERS["bounce"], device={"size": "1MiB"}))
    with Pipeline(config) as pipeline:
        stored = 0
        with pytest.raises(PoolFull, match="the device is full"):
            for slot in range(4096):
                pipeline.store(slot, page("noise", slot, 0))
                stored += 1
        assert stored > 300
        assert all(pipeline.load(slot) == page("noise", slot, 0) for slot in range(stored))


def test_turns_from_before_a_store_waited_do_not_refuse_it() -> None:
    # The writers found nothing to do for a while, and were then held back by a sync: the store
    # that comes next must see them try again, not be told of what was.
    with Pipeline(load_config(shape(PACKERS["bounce"]))) as pipeline:
        for slot in range(150):
            pipeline.store(slot, page("noise", slot, 0))
        pipeline.sync()
        waiting = pipeline._backpressure
        with pipeline._gate.lock:
            waiting._idle_turns = 99  # type: ignore[union-attr]
        for slot in range(1000, 1600):
            pipeline.store(slot, page("noise", slot, 0))
            with pipeline._gate.lock:
                waiting._idle_turns = 99  # type: ignore[union-attr]
        assert all(pipeline.load(slot) == page("noise", slot, 0) for slot in range(1000, 1600))


def test_close_while_writes_fail_ends_the_writers() -> None:
    # The first write fails while the other is still going on, and while `close` waits for both:
    # the writer that finds nothing to do then must not go to sleep.
    tables = {"writeback": {"high": "40%", "accept": "10%"}}
    pipeline = Pipeline(load_config(shape(PACKERS["bounce"], **tables)))
    inside = threading.Semaphore(0)
    go = [threading.Event(), threading.Event()]
    numbers = iter(range(10**6))

    def fail(offset: int, data: Buffer) -> None:
        number = next(numbers)
        inside.release()
        if number < 2:
            assert go[number].wait(60)
        raise DeviceError("no write")

    pipeline.config.device.write = fail  # type: ignore[method-assign]

    def fill() -> None:
        with contextlib.suppress(ColdpressError):
            for slot in range(4000):
                pipeline.store(slot, page("mixed", slot, 0))

    filler = threading.Thread(target=fill)
    filler.start()
    assert inside.acquire(timeout=60)
    assert inside.acquire(timeout=60)
    closer = threading.Thread(target=pipeline.close)
    closer.start()
    while not pipeline._gate.closed:
        time.sleep(0.001)
    time.sleep(0.1)  # so that `close` has told everybody, and lets the lock go
    for one in go:
        one.set()
        time.sleep(0.1)
    closer.join(30)
    filler.join(30)
    assert not closer.is_alive()
    assert not filler.is_alive()
