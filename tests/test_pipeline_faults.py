"""What a pipeline does when something under it, or above it, goes wrong."""

from __future__ import annotations

import array
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import coldpress
from coldpress import (
    ConfigError,
    DeviceError,
    PageLength,
    PageRefused,
    Pipeline,
    PipelineClosed,
    PluginError,
    PoolFull,
)
from coldpress.config import load_config
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described

BLOCK = 65536


def shape(**tables: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "slots": 4096,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zbud", "limit": "512KiB"},
        "device": {"use": "memory", "size": "16MiB"},
    }
    return described(base, **tables)


def opened(*, synchronous: bool = True, **tables: Any) -> Pipeline:
    return Pipeline(load_config(shape(**tables)), synchronous=synchronous)


def noise(slot: int, version: int = 0) -> bytes:
    return page("noise", slot, version)


def fail_writes(pipeline: Pipeline, fails: Callable[[int], BaseException | None]) -> None:
    """From now on a write at a device offset for which `fails` gives an error raises it."""
    write = pipeline.config.device.write

    def failing(offset: int, data: coldpress.Buffer) -> None:
        error = fails(offset)
        if error is not None:
            raise error
        write(offset, data)

    pipeline.config.device.write = failing  # type: ignore[method-assign]


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
def test_a_device_that_fails_for_a_while_loses_nothing(synchronous: bool) -> None:
    with opened(synchronous=synchronous) as pipeline:
        down = [True]
        fail_writes(pipeline, lambda _: DeviceError("the cable is out") if down[0] else None)
        model = {}
        with pytest.raises(PoolFull, match="nothing can be written out: the cable is out"):
            for slot in range(400):
                pipeline.store(slot, noise(slot))
                model[slot] = noise(slot)
        assert 50 < len(model) < 130
        assert all(pipeline.load(slot) == data for slot, data in model.items())
        down[0] = False
        for slot in range(1000, 1400):
            model[slot] = noise(slot)
            pipeline.store(slot, model[slot])
        assert all(pipeline.load(slot) == data for slot, data in model.items())
        assert pipeline.stats().refaults > 300


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
def test_every_third_write_failing_costs_no_store(synchronous: bool) -> None:
    with opened(synchronous=synchronous) as pipeline:
        calls = iter(range(10**9))
        fail_writes(pipeline, lambda _: DeviceError("flaky") if next(calls) % 3 == 0 else None)
        for slot in range(1500):
            pipeline.store(slot, noise(slot))
        assert all(pipeline.load(slot) == noise(slot) for slot in range(1500))


def test_a_bad_block_does_not_stop_the_device() -> None:
    with opened() as pipeline:
        bad = 2 * PAGE + BLOCK
        fail_writes(pipeline, lambda at: DeviceError("bad sector") if at == bad else None)
        for slot in range(1500):
            pipeline.store(slot, noise(slot))
        assert all(pipeline.load(slot) == noise(slot) for slot in range(1500))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, OSError])
def test_another_exception_in_a_write_loses_no_victim(kind: type[BaseException]) -> None:
    with opened() as pipeline:
        due = [0]

        def sometimes(_: int) -> BaseException | None:
            due[0] += 1
            return kind("out of the blue") if due[0] % 4 == 0 else None

        fail_writes(pipeline, sometimes)
        model: dict[int, bytes] = {}
        raised = 0
        for slot in range(1500):
            try:
                pipeline.store(slot, noise(slot))
                model[slot] = noise(slot)
            except kind:
                raised += 1
                with pytest.raises(KeyError):  # what raised did not store
                    pipeline.load(slot)
        assert raised > 5
        assert all(pipeline.load(slot) == data for slot, data in model.items())
        space = pipeline._store.space
        assert space.in_use * BLOCK == pipeline.stats().device_bytes


def test_a_read_that_fails_names_slot_block_and_device() -> None:
    with opened() as pipeline:
        for slot in range(400):
            pipeline.store(slot, noise(slot))

        def broken(offset: int, buffer: memoryview) -> None:
            raise DeviceError("read at 8192: Input/output error")

        read = pipeline.config.device.read_into
        pipeline.config.device.read_into = broken  # type: ignore[method-assign]
        with pytest.raises(DeviceError, match=r"slot 0: block 0: read at 8192: Input/output"):
            pipeline.load(0)
        assert pipeline.load(399) == noise(399)
        pipeline.config.device.read_into = read  # type: ignore[method-assign]
        assert pipeline.load(0) == noise(0)


def test_with_a_full_device_clean_copies_still_leave() -> None:
    size = 2 * PAGE + 6 * BLOCK
    tables = {"device": {"size": size}, "writeback": {"promote": "never"}}
    with opened(**tables) as pipeline:
        model = {slot: noise(slot) for slot in range(50)}
        for slot, data in model.items():
            pipeline.store(slot, data)
        pipeline.sync()
        model[0] = noise(0, 1)
        pipeline.store(0, model[0])
        for slot in range(1, 50):  # now 0 is the coldest, dirty, and all others are clean
            pipeline.load(slot)
        with pytest.raises(PoolFull):
            for slot in range(100, 400):
                pipeline.store(slot, noise(slot))
                model[slot] = noise(slot)
        stats = pipeline.stats()
        assert stats.clean_drops == 49
        assert all(pipeline.load(slot) == data for slot, data in model.items())


@pytest.mark.parametrize("promote", ["first", "second"])
def test_a_racing_load_does_not_promote_an_old_page(promote: str) -> None:
    # While slot 5 is read from the device, it is stored anew until its word is the same again:
    # same place, same length, but another block was written there.
    tables = {
        "compressor": {"use": "none"},
        "allocator": {"limit": "256KiB"},
        "packer": {"block": "16KiB"},
        "device": {"size": "1MiB"},
        "writeback": {"promote": promote},
    }
    with opened(**tables) as pipeline:
        rng = random.Random(7)
        old, new, *filler = (rng.randbytes(PAGE) for _ in range(80))

        def cycle(data: bytes) -> None:
            for slot in range(80):
                pipeline.invalidate(slot)
            pipeline.sync()
            pipeline.store(5, data)
            for slot in range(10, 80):
                pipeline.store(slot, filler[slot - 10])
            if promote == "second":
                pipeline.load(5)

        cycle(old)
        word = pipeline._entries.table.get(5)
        again = [False]

        def meanwhile() -> None:
            for _ in range(200):
                cycle(new)
                if pipeline._entries.table.get(5) == word:
                    again[0] = True
                    break
            for slot in range(10, 80):
                pipeline.invalidate(slot)

        read = pipeline.config.device.read_into
        first = [True]

        def slow(offset: int, buffer: memoryview) -> None:
            read(offset, buffer)
            if first[0]:
                first[0] = False
                thread = threading.Thread(target=meanwhile)
                thread.start()
                thread.join()

        pipeline.config.device.read_into = slow  # type: ignore[method-assign]
        assert pipeline.load(5) in (old, new)
        assert again[0], "the word never came back: this test shows nothing"
        assert pipeline.load(5) == new
        assert pipeline.load(5) == new


class Index:
    """An integer of a kind that wraps round, as numpy's small ones do."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __add__(self, other: int) -> Index:
        return Index((self.value + other) % 256)

    def __le__(self, other: int) -> bool:
        return self.value <= other

    def __lt__(self, other: int) -> bool:
        return self.value < other

    def __ge__(self, other: int) -> bool:
        return self.value >= other


def test_slots_of_other_integer_types() -> None:
    with opened() as pipeline:
        data = b"".join(noise(slot) for slot in range(10))
        pipeline.store_many(Index(250), data)  # type: ignore[arg-type]
        assert pipeline.load(255) == noise(5)
        assert pipeline.load(259) == noise(9)
        with pytest.raises(KeyError):
            pipeline.load(0)
        before = pipeline.stats().pool_bytes
        for wrong in (1.5, 1.0, "1", None):
            with pytest.raises(TypeError):
                pipeline.store(wrong, noise(1))  # type: ignore[arg-type]
        assert pipeline.stats().pool_bytes == before


def test_buffers_of_other_formats_and_shapes() -> None:
    with opened() as pipeline:
        for slot, kind in enumerate(("text", "noise", "zero")):
            data = page(kind, slot, 0)
            words = array.array("I", data)
            square = memoryview(data).cast("B", shape=[64, 64])
            for buffer in (words, square, bytearray(data), memoryview(data)):
                pipeline.store(slot, buffer)  # type: ignore[arg-type]
                assert pipeline.load(slot) == data
            back = array.array("I", bytes(PAGE))
            pipeline.load_into(slot, memoryview(back))
            assert back == words
        scattered = memoryview(bytes(2 * PAGE))[::2]
        for call in (pipeline.store, pipeline.store_many):
            with pytest.raises(PageLength, match="contiguous"):
                call(0, scattered)
        pipeline.store(0, noise(0))
        before = pipeline.stats().pool_bytes
        for _ in range(20):
            pipeline.store(0, memoryview(noise(0)).cast("B", shape=[64, 64]))
        assert pipeline.stats().pool_bytes == before


def test_a_page_that_no_entry_type_takes() -> None:
    with Pipeline(load_config({**shape(), "entries": ["filled", "zswap"]})) as pipeline:
        pipeline.store(1, page("text", 1, 0))
        with pytest.raises(PageRefused, match="slot 1: no entry type takes this page; add 'raw'"):
            pipeline.store(1, noise(1))
        assert pipeline.load(1) == page("text", 1, 0)


@pytest.mark.parametrize("entries", [["raw"], ["zswap", "raw"], ["raw", "filled"]])
def test_other_entries(entries: list[str]) -> None:
    with Pipeline(load_config({**shape(), "entries": entries})) as pipeline:
        for slot in range(300):
            pipeline.store(slot, page("mixed", slot, 0))
        assert all(pipeline.load(slot) == page("mixed", slot, 0) for slot in range(300))


def test_closing_gives_all_memory_back() -> None:
    pipeline = opened(allocator={"limit": "8MiB"})
    for slot in range(1200):
        pipeline.store(slot, noise(slot))
    assert pipeline.pool_resident_bytes() > 4 << 20
    pipeline.close()
    assert pipeline.pool_resident_bytes() == 0


def test_one_configuration_is_one_pipeline() -> None:
    config = load_config(shape())
    with Pipeline(config), pytest.raises(PluginError, match="opened before"):
        Pipeline(config)


def test_a_device_too_large_for_its_entry_type() -> None:
    with pytest.raises(ConfigError, match=r"'size' in \[device\] memory: must be at most 4TiB"):
        load_config(shape(device={"size": "5TiB"}))


@pytest.mark.parametrize("page_size", ["8KiB", "16KiB", "64KiB"])
@pytest.mark.parametrize("allocator", ["zsmalloc", "zbud"])
def test_other_page_sizes(page_size: str, allocator: str) -> None:
    tables = {
        "allocator": {"use": allocator, "limit": "4MiB"},
        "packer": {"block": "256KiB"},
        "device": {"size": "64MiB"},
    }
    with Pipeline(load_config({**shape(**tables), "page_size": page_size})) as pipeline:
        parts = pipeline.config.page_size // PAGE
        whole = {
            slot: b"".join(page("mixed", slot, part) for part in range(parts))
            for slot in range((12 << 20) // pipeline.config.page_size)
        }
        for slot, data in whole.items():
            pipeline.store(slot, data)
        assert all(pipeline.load(slot) == data for slot, data in whole.items())
        assert pipeline.stats().refaults > 0


@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
def test_threads_racing_with_close(synchronous: bool) -> None:
    for round_ in range(10):
        pipeline = opened(synchronous=synchronous)
        errors: list[BaseException] = []

        def work(start: int, pipeline: Pipeline = pipeline, errors: Any = errors) -> None:
            try:
                for slot in range(start, 4096, 4):
                    pipeline.store(slot, noise(slot))
                    assert pipeline.load(slot) == noise(slot)
            except PipelineClosed:
                pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        threading.Event().wait(0.005 * round_)
        pipeline.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a store waits for ever"
        assert not errors
