"""Back-pressure: who waits for room, for how long, and who does not."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from small import PACKERS, shape
from writes import held_writes, slow_writes

from coldpress import Buffer, ColdpressError, DeviceError, Pipeline
from coldpress.config import load_config
from coldpress.testing.pages import page
from coldpress.testing.threads import run_threads, stamped_page


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
