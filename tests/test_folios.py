"""Folios: several pages stored as one, changed one by one, and never half."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import small
from contents import holds
from writes import held_writes

import coldpress
from coldpress import ConfigError, DeviceError, Pipeline, PoolFull, SlotEmpty
from coldpress.config import load_config
from coldpress.folio import folio_pages
from coldpress.testing.pages import PAGE, page
from coldpress.testing.shapes import described
from coldpress.testing.threads import run_threads

ORDERS = (1, 2, 3, 4)


def folio(slot: int, version: int, pages: int, kind: str = "text") -> dict[int, bytes]:
    """The folio's pages by their slots; `text` shrinks to about a fifth, `noise` not at all."""
    return {s: page(kind, s, version) for s in range(slot, slot + pages)}


def store(pipeline: Pipeline, model: dict[int, bytes], pages: dict[int, bytes]) -> None:
    pipeline.store(min(pages), b"".join(pages.values()))
    model.update(pages)


def shape(**tables: Any) -> dict[str, Any]:
    base = small.shape({"use": "bounce", "block": "64KiB"})
    return described(base, **tables)


@pytest.fixture
def inline() -> Pipeline:
    return Pipeline(load_config(shape()), synchronous=True)


@pytest.mark.parametrize("order", ORDERS)
def test_a_folio_is_one_object(pipeline: Pipeline, order: int) -> None:
    pages, model = 1 << order, dict[int, bytes]()
    store(pipeline, model, folio(2 * pages, 1, pages))
    stats = pipeline.stats()
    assert stats.stored_pages == pages
    # What does not shrink at all may still be one object, but not one of more than half a block.
    whole = pages * PAGE if pipeline.config.names["compressor"] == "none" else PAGE
    alone = pipeline.config.packer.largest_folio(PAGE) < whole
    assert len(pipeline.config.policy) == (pages if alone else 1)
    holds(pipeline, model, range(4 * pages))
    whole = bytearray(pages * PAGE)
    pipeline.load_many(2 * pages, whole)
    assert bytes(whole) == b"".join(model.values())


def test_compressed_together_pages_take_less_than_alone(inline: Pipeline) -> None:
    with inline as pipeline:
        model: dict[int, bytes] = {}
        store(pipeline, model, folio(0, 1, 16))
        together = pipeline.stats().compressed_bytes
        pipeline.store_many(0, b"".join(model.values()))
        assert together < 0.9 * pipeline.stats().compressed_bytes


@pytest.mark.parametrize("order", ORDERS)
def test_each_page_changes_alone(pipeline: Pipeline, order: int) -> None:
    pages, model = 1 << order, dict[int, bytes]()
    for changed in range(pages):
        store(pipeline, model, folio(0, 1, pages))
        if changed % 2:
            pipeline.invalidate(changed)
            del model[changed]
        else:
            store(pipeline, model, folio(changed, 2, 1, "mixed"))
        holds(pipeline, model, range(pages))
        assert pipeline.stats().stored_pages == len(model)
    for slot in range(pages):
        pipeline.invalidate(slot)
    assert pipeline.stats().stored_pages == 0
    assert pipeline.stats().compressed_bytes == 0
    assert pipeline.config.allocator.objects == 0


def test_a_folio_over_parts_of_others(pipeline: Pipeline) -> None:
    model: dict[int, bytes] = {}
    store(pipeline, model, folio(0, 1, 16))
    store(pipeline, model, folio(16, 2, 16))
    store(pipeline, model, folio(12, 3, 4))
    store(pipeline, model, folio(16, 4, 2))
    store(pipeline, model, folio(24, 5, 8, "noise"))
    holds(pipeline, model, range(40))
    store(pipeline, model, folio(0, 6, 16, "mixed"))
    store(pipeline, model, folio(16, 7, 16))
    holds(pipeline, model, range(40))


@pytest.mark.parametrize("kind", ["zero", "text", "mixed", "noise"])
def test_folios_go_to_the_device_and_come_back(pipeline: Pipeline, kind: str) -> None:
    model: dict[int, bytes] = {}
    count = 12 if kind == "zero" else 48
    for number in range(count):
        store(pipeline, model, folio(16 * number, 1, 16, kind))
    if kind in ("mixed", "noise"):
        assert pipeline.stats().written_back_pages > 0
    for number in range(0, count, 3):
        store(pipeline, model, folio(16 * number + 5, 2, 1, "mixed"))
    holds(pipeline, model, range(16 * count))
    assert pipeline.stats().pool_bytes_peak <= pipeline.stats().pool_limit


def test_a_folio_on_the_device_is_read_once_for_all_its_pages(inline: Pipeline) -> None:
    with inline as pipeline:
        model: dict[int, bytes] = {}
        for number in range(120):
            store(pipeline, model, folio(16 * number, 1, 16))
        stats = pipeline.stats()
        assert stats.written_back_pages % 16 == 0
        assert stats.written_back_pages > 400
        out = bytearray(16 * PAGE)
        pipeline.load_many(0, out)
        assert bytes(out) == b"".join(model[s] for s in range(16))
        after = pipeline.stats()
        assert (after.device_reads - stats.device_reads, after.refaults) == (1, 16)
        assert after.promoted_pages == 16
        assert pipeline.load(7) == model[7]  # from the pool now
        assert pipeline.stats().refaults == 16


def test_a_folio_that_does_not_shrink_by_half_a_block_is_stored_page_by_page() -> None:
    with Pipeline(load_config(shape(packer={"block": "16KiB"})), synchronous=True) as pipeline:
        model: dict[int, bytes] = {}
        store(pipeline, model, folio(0, 1, 16, "mixed"))
        assert pipeline.config.allocator.objects > 8
        store(pipeline, model, folio(16, 1, 16, "noise"))
        assert pipeline.stats().incompressible_pages == 16
        store(pipeline, model, dict.fromkeys(range(32, 48), bytes(PAGE)))
        assert pipeline.stats().same_filled_pages == 16
        pages = folio(48, 1, 16, "noise") | dict.fromkeys(range(50, 56), bytes(PAGE))
        store(pipeline, model, dict(sorted(pages.items())))
        assert pipeline.stats().same_filled_pages == 22
        holds(pipeline, model, range(70))


def test_the_page_packer_knows_no_folios() -> None:
    with Pipeline(load_config(shape(packer={"use": "page", "block": "4KiB"}))) as pipeline:
        model: dict[int, bytes] = {}
        for number in range(60):
            store(pipeline, model, folio(16 * number, 1, 16, "mixed"))
        holds(pipeline, model, range(960))
        stats = pipeline.stats()
        assert stats.writeback_decompressions >= stats.written_back_pages > 0


@pytest.mark.parametrize("kind", ["text", "noise"])
@pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])
def test_a_failed_folio_leaves_every_old_page(kind: str, synchronous: bool) -> None:
    config = load_config(shape(allocator={"limit": "256KiB"}, device={"size": "1MiB"}))
    with Pipeline(config, synchronous=synchronous) as pipeline:
        model: dict[int, bytes] = {}
        for slot in range(16):
            store(pipeline, model, folio(slot, 1, 1, "mixed"))

        def fail(offset: int, data: coldpress.Buffer) -> None:
            raise DeviceError("out of order")

        pipeline.config.device.write = fail  # type: ignore[method-assign]
        with pytest.raises(PoolFull, match="out of order"):
            for slot in range(16, 4000):
                store(pipeline, model, folio(slot, 1, 1, "noise"))
        failed = 0
        for slot in (0, 16, 0):
            try:
                store(pipeline, model, folio(slot, 9, 16, kind))
            except PoolFull:
                failed += 1
            holds(pipeline, model, range(max(model) + 1))
        assert failed > 0


def test_a_slot_range_that_ends_inside_a_folio_s_window() -> None:
    with Pipeline(load_config({**shape(), "slots": 21})) as pipeline:
        model: dict[int, bytes] = {}
        store(pipeline, model, folio(16, 1, 4))
        store(pipeline, model, folio(20, 1, 1))
        pipeline.sync()
        with pytest.raises(coldpress.SlotRange):
            pipeline.store(16, bytes(16 * PAGE))
        assert pipeline.load(19) == model[19]
        pipeline.invalidate(16)
        assert pipeline.load(17) == model[17]


def test_larger_pages_make_smaller_orders() -> None:
    assert folio_pages(8, 64 << 10, 16 << 10) == 4
    assert folio_pages(8, 64 << 10, 64 << 10) == 1
    with pytest.raises(coldpress.PageLength, match="1, 2 or 4 pages of 16384 bytes"):
        folio_pages(8, 128 << 10, 16 << 10)
    with pytest.raises(coldpress.PageLength, match="one page of 65536 bytes"):
        folio_pages(8, 128 << 10, 64 << 10)


def test_a_changed_page_of_a_folio_in_flight_is_not_overwritten() -> None:
    # Writeback begins well below the limit, so that no store waits for what is held up here.
    tables = {"writeback": {"high": "50%", "accept": "40%"}, "allocator": {"limit": "4MiB"}}
    with Pipeline(load_config(shape(**tables))) as pipeline:
        model: dict[int, bytes] = {}
        begun, go = held_writes(pipeline)
        fill = iter(range(200))
        while not begun.is_set():
            store(pipeline, model, folio(16 * next(fill), 1, 16))
        # The first folios are in the block that is being written now.
        store(pipeline, model, folio(0, 2, 1, "mixed"))  # by whose slot the policy knows it
        store(pipeline, model, folio(16 + 3, 2, 1, "mixed"))
        for slot in range(32, 48):
            store(pipeline, model, folio(slot, 2, 1, "mixed"))
        go.set()
        pipeline.sync()
        holds(pipeline, model, range(200))


def test_sync_takes_a_folio_that_changed_its_first_page_meanwhile(inline: Pipeline) -> None:
    with inline as pipeline:
        model: dict[int, bytes] = {}
        for number in range(8):
            store(pipeline, model, folio(16 * number, 1, 16))
        write, changed = pipeline.config.device.write, []

        def change(offset: int, data: coldpress.Buffer) -> None:
            write(offset, data)
            if not changed:  # as another thread would, while this one waits for the device
                changed.append(1)
                for slot in range(0, 128, 16):
                    with pipeline._gate.lock if pipeline._backpressure.unlocked else _nothing():
                        pipeline._entries.empty(slot)
                    model.pop(slot)

        pipeline.config.device.write = change  # type: ignore[method-assign]
        pipeline.sync()
        with pipeline._gate.lock:
            assert not list(pipeline._entries.dirty())
        holds(pipeline, model, range(128))


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...


def test_threads_on_the_same_folios(start: Callable[..., Pipeline]) -> None:
    """Each thread has one page of every folio; all of them store whole folios now and then."""
    with start(limit="256KiB", writeback={"promote": "first"}) as pipeline:
        lock = threading.Lock()
        wrong: list[str] = []

        def work(number: int) -> None:
            held: dict[int, int] = {}
            for version in range(1, 50):
                for base in range(0, 24 * 16, 16):
                    slot = base + number
                    if version % 20 == number * 5:
                        with lock:  # a whole folio changes others' pages too: in their stead
                            whole = folio(base, version << 8 | number, 16, "mixed")
                            first = {s: whole[s] for s in range(base + 8, base + 16)}
                            pipeline.store(base + 8, b"".join(first.values()))
                    if version % 3 == 0:
                        pipeline.store(slot, page("mixed", slot, version))
                        held[slot] = version
                    elif slot in held and pipeline.load(slot) != page("mixed", slot, held[slot]):
                        wrong.append(f"slot {slot}")

        run_threads(work)
        assert not wrong


def test_blocks_too_small_for_a_folio_s_half_take_none() -> None:
    config = load_config(shape(packer={"use": "aligned", "block": "12KiB"}))
    assert config.packer.fits(config.packer.largest_folio(PAGE), PAGE)
    with pytest.raises(ConfigError):
        load_config(shape(packer={"use": "aligned", "block": "8KiB"}))


def test_a_fault_in_the_middle_of_a_folio_leaks_no_room() -> None:
    with Pipeline(load_config(shape()), synchronous=True) as pipeline:
        entry = next(one for one in pipeline.config.entry_types if one.name == "zswap")
        alloc, calls = entry._alloc, iter(range(100))  # type: ignore[attr-defined]

        def broken(data: bytes, owner: int) -> int:
            if next(calls) == 4:
                raise RuntimeError("an allocator's fault")
            handle: int = alloc(data, owner)
            return handle

        entry._alloc = broken  # type: ignore[attr-defined]
        pages = folio(0, 1, 16, "mixed")  # which shrink too little to be one object
        with pytest.raises(RuntimeError, match="an allocator's fault"):
            pipeline.store(0, b"".join(pages.values()))
        assert pipeline.config.allocator.objects == 0
        assert pipeline.stats().pool_bytes == pipeline.stats().compressed_bytes == 0
        with pytest.raises(SlotEmpty):
            pipeline.load(0)


def test_a_zspage_s_folios_leave_with_it_though_they_lost_their_first_page() -> None:
    tables = {"packer": {"use": "zspage", "block": "64KiB"}}
    with Pipeline(load_config(shape(**tables)), synchronous=True) as pipeline:
        for slot in range(0, 64, 2):  # two pages each, in small objects that share a zspage
            pair = page("word", slot, 1)[:-4] + b"abcd" + page("word", slot, 2)[:-4] + b"efgh"
            pipeline.store(slot, pair)
        for slot in range(0, 64, 2):
            pipeline.store(slot, page("mixed", slot, 9))
        with pipeline._gate.lock:
            block = pipeline._writeback.next_block(0)
            assert block is not None
            # Not the young pages that the folios' first slots hold now.
            assert {victim.order for victim in block.victims} == {1}
            assert len(block.victims) > 16


@pytest.mark.parametrize("readahead", [False, True])
@pytest.mark.parametrize("promote", ["first", "second"])
def test_neighbours_of_a_folio_are_read_and_decompressed_together(
    readahead: bool, promote: str
) -> None:
    tables = {
        "writeback": {"readahead": readahead, "promote": promote},
        "allocator": {"limit": "256KiB"},
    }
    with Pipeline(load_config(shape(**tables)), synchronous=True) as pipeline:
        model: dict[int, bytes] = {}
        for base in range(0, 960, 16):
            store(pipeline, model, folio(base, 1, 16))
        compressor, calls = pipeline.config.compressor, []
        decompress = compressor.decompress

        def counted(data: coldpress.Buffer, size: int) -> bytes:
            calls.append(size)
            return decompress(data, size)

        compressor.decompress = counted  # type: ignore[method-assign]
        reads = pipeline.stats().device_reads
        out = bytearray(16 * PAGE)
        pipeline.load_many(0, out)
        assert bytes(out) == b"".join(model[slot] for slot in range(16))
        assert (calls, pipeline.stats().device_reads - reads) == ([16 * PAGE], 1)
