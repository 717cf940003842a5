from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import attrs
import pytest

from coldpress import Buffer, CorruptBlock, PoolFull, SlotEmpty, Stats
from coldpress.harness.corpus import Corpus
from coldpress.harness.inputs import read_inputs
from coldpress.harness.report import report
from coldpress.harness.result import Result
from coldpress.harness.runner import BATCH, Runner
from coldpress.harness.trace import Trace
from coldpress.harness.workload import parse_workload

PAGE = 4096
PAGES = 3 * BATCH + 5
NOTHING = Stats(**{field.name: 0 for field in attrs.fields(Stats)})


class Fake:
    """A pipeline that is a dict. Tests break one method of it at a time."""

    def __init__(self) -> None:
        self.pages: dict[int, bytes] = {}
        self.log: list[tuple[str, int]] = []
        self.refaults = 0
        self.resident = 0

    def store(self, slot: int, page: Buffer, /) -> None:
        self.log.append(("store", slot))
        self.pages[slot] = bytes(page)

    def store_many(self, slot: int, buffer: Buffer, /) -> None:
        for at in range(0, len(buffer), PAGE):
            self.store(slot + at // PAGE, buffer[at : at + PAGE])

    def load(self, slot: int, /) -> bytes:
        self.log.append(("load", slot))
        if slot not in self.pages:
            raise SlotEmpty(slot)
        self.refaults += 1
        return self.pages[slot]

    def load_many(self, slot: int, buffer: memoryview, /) -> None:
        for at in range(0, len(buffer), PAGE):
            buffer[at : at + PAGE] = self.load(slot + at // PAGE)

    def invalidate(self, slot: int, /) -> None:
        self.log.append(("invalidate", slot))
        self.pages.pop(slot, None)

    def stats(self) -> Stats:
        return attrs.evolve(NOTHING, refaults=self.refaults, stored_pages=len(self.pages))

    def pool_resident_bytes(self) -> int:
        self.resident += 1
        return 1000 - abs(2 - self.resident)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("corpus") / "pages"
    file.write_bytes(random.Random(1).randbytes(PAGES * PAGE))
    with read_inputs([str(file)], PAGE) as opened:
        yield opened


def go(pipeline: Any, corpus: Corpus, operations: Any = None, **more: Any) -> Result:
    return Runner(pipeline, {"policy": "fake"}, corpus, slots=PAGES, **more).run(operations)


def test_a_right_pipeline_passes(corpus: Corpus) -> None:
    fake = Fake()
    result = go(fake, corpus)
    assert (result.failures, result.messages, result.interrupted) == (0, [], False)
    assert result.pages == result.verified == result.final_reads == len(fake.pages) == PAGES
    assert result.final_refaults == PAGES
    assert result.stores == PAGES + 13 + 12
    assert result.loads == PAGES
    assert result.store_seconds > 0
    assert result.load_seconds > 0
    assert result.pool_resident_peak == 1000


def test_what_a_run_does(corpus: Corpus) -> None:
    fake = Fake()
    go(fake, corpus)
    kinds = [kind for kind, _ in fake.log]
    assert kinds.count("invalidate") == 13
    changed = {slot for kind, slot in fake.log[PAGES:] if kind == "store"}
    assert len(changed) == 25
    for slot, page in fake.pages.items():
        assert (page != corpus[slot]) == (slot in changed)
    for kind, slot in fake.log:  # an invalidated slot is asked for before it is stored again
        if kind == "invalidate":
            later = fake.log[fake.log.index((kind, slot)) :]
            assert later.index(("load", slot)) < later.index(("store", slot))


class WrongPage(Fake):
    def load(self, slot: int, /) -> bytes:
        page = super().load(slot)
        return bytes(PAGE) if slot == 70 else page


class OneBit(Fake):
    def load_many(self, slot: int, buffer: memoryview, /) -> None:
        super().load_many(slot, buffer)
        if slot <= 70 < slot + len(buffer) // PAGE:
            buffer[(70 - slot) * PAGE + 4095] ^= 1


class ShortPage(Fake):
    def store(self, slot: int, page: Buffer, /) -> None:
        super().store(slot, page[:-1] if slot == 70 else page)

    def load_many(self, slot: int, buffer: memoryview, /) -> None:
        for at in range(0, len(buffer), PAGE):
            page = self.load(slot + at // PAGE)
            buffer[at : at + len(page)] = page


class StaleVersion(Fake):
    def store(self, slot: int, page: Buffer, /) -> None:
        if slot != 72 or slot not in self.pages:  # 72 is overwritten
            super().store(slot, page)


class SwappedSlots(Fake):
    def load(self, slot: int, /) -> bytes:
        return super().load({70: 71}.get(slot, slot))


class Forgotten(Fake):
    def load_many(self, slot: int, buffer: memoryview, /) -> None:
        """Leaves one page of the buffer as it was."""
        kept = bytes(buffer[PAGE : 2 * PAGE])
        super().load_many(slot, buffer)
        if slot == BATCH:
            buffer[PAGE : 2 * PAGE] = kept


@pytest.mark.parametrize(
    ("broken", "slot"),
    [
        (WrongPage, 70),
        (OneBit, 70),
        (ShortPage, 70),
        (StaleVersion, 72),
        (SwappedSlots, 70),
        (Forgotten, BATCH + 1),
    ],
)
def test_a_wrong_page_is_found(corpus: Corpus, broken: type[Fake], slot: int) -> None:
    result = go(broken(), corpus)
    assert result.failures == 1
    assert result.messages == [
        f"slot {slot}: the page that came back is not the one that was stored"
    ]
    assert result.verified == result.pages - 1 == PAGES - 1


def test_a_page_left_from_the_last_batch_does_not_count(tmp_path: Path) -> None:
    class Forgetful(Fake):
        batches = 0

        def load_many(self, slot: int, buffer: memoryview, /) -> None:
            self.batches += 1
            if self.batches == 1:
                super().load_many(slot, buffer)

    (tmp_path / "alike").write_bytes(b"same" * 1024 * PAGES)
    with read_inputs([str(tmp_path)], PAGE) as corpus:
        assert go(Forgetful(), corpus).verified == BATCH


def test_an_emptied_slot_is_found(corpus: Corpus) -> None:
    class Loses(Fake):
        def load(self, slot: int, /) -> bytes:
            if slot == 70:
                raise SlotEmpty(slot)
            return super().load(slot)

    result = go(Loses(), corpus)
    assert result.messages == ["slot 70: slot 70 is empty"]
    assert (result.pages, result.verified) == (PAGES, PAGES - 1)


def test_an_invalidate_that_does_nothing_is_found(corpus: Corpus) -> None:
    class Keeps(Fake):
        def invalidate(self, slot: int, /) -> None:
            if slot != 16:
                super().invalidate(slot)

    result = go(Keeps(), corpus)
    assert result.messages == ["slot 16: it was invalidated, and a page came back"]


def test_errors_of_the_readback_are_reported_and_the_rest_is_read(corpus: Corpus) -> None:
    class Damaged(Fake):
        def load(self, slot: int, /) -> bytes:
            if slot in (3, 70, 71):
                raise CorruptBlock(slot, 5, 20480, "wrong checksum")
            return super().load(slot)

    result = go(Damaged(), corpus)
    assert result.messages == [
        f"slot {slot}: slot {slot}: block 5, device offset 20480: wrong checksum"
        for slot in (3, 70, 71)
    ]
    assert result.final_reads == PAGES
    assert result.verified == PAGES - 3


@pytest.mark.parametrize("limit", [0, 10, BATCH, 2 * BATCH + 1])
def test_a_full_pool_ends_the_storing_and_all_that_was_stored_is_read(
    corpus: Corpus, limit: int
) -> None:
    class Full(Fake):
        def store(self, slot: int, page: Buffer, /) -> None:
            if len(self.pages) == limit:
                raise PoolFull("no room")
            super().store(slot, page)

    result = go(Full(), corpus)
    assert result.failures == 1
    assert result.messages[0].endswith("no room")
    assert result.pages == result.verified == limit


def test_a_failed_store_that_changes_its_slot_is_found(corpus: Corpus) -> None:
    class Half(Fake):
        def store(self, slot: int, page: Buffer, /) -> None:
            super().store(slot, page)
            if slot == 72 and self.log.count(("store", 72)) == 2:
                raise PoolFull("no room")

    fake = Half()
    result = go(fake, corpus)
    assert [slot for kind, slot in fake.log if kind == "store"][-1] == 72  # nothing after it
    assert result.messages == [
        "storing slot 72: no room",
        "slot 72: the page that came back is not the one that was stored",
    ]


def test_a_failed_batch_that_leaves_a_mixed_page_is_found(corpus: Corpus) -> None:
    class Mixed(Fake):
        def store(self, slot: int, page: Buffer, /) -> None:
            if slot == 70:
                super().store(slot, bytes(page[:100]).ljust(PAGE, b"\0"))
                raise PoolFull("no room")
            super().store(slot, page)

    result = go(Mixed(), corpus)
    assert result.messages[1].startswith("slot 70: a failed store left")
    assert (result.pages, result.verified) == (71, 70)


def test_only_the_first_failures_are_kept_in_words(corpus: Corpus) -> None:
    class Blank(Fake):
        def load(self, slot: int, /) -> bytes:
            super().load(slot)
            return bytes(PAGE)

    result = go(Blank(), corpus)
    assert result.failures == PAGES
    assert len(result.messages) == 20
    assert result.verified == 0


@pytest.mark.parametrize("workload", ["scan", "uniform", "zipf:0.99"])
def test_a_workload_compares_every_load(corpus: Corpus, workload: str) -> None:
    fake = Fake()
    result = go(fake, corpus, parse_workload(workload, PAGES))
    assert result.failures == 0
    assert result.pages == result.verified == PAGES
    assert result.stores + result.loads == PAGES + 2 * PAGES + PAGES

    slot = next(slot for kind, slot in fake.log[PAGES : 3 * PAGES] if kind == "load")

    class Once(Fake):
        """Returns another page once, long before the end."""

        wrong = 1

        def load(self, at: int, /) -> bytes:
            page = super().load(at)
            if at == slot and self.wrong:
                self.wrong -= 1
                return bytes(PAGE)
            return page

    result = go(Once(), corpus, parse_workload(workload, PAGES))
    assert result.failures == 1
    assert result.verified == PAGES


def test_a_trace_stores_at_a_slots_first_touch(corpus: Corpus, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("R 150\nR 150\nW 7\nW 7\nR 7\nR 0\n")
    fake = Fake()
    result = go(fake, corpus, Trace(str(file), PAGE))
    assert fake.log[:6] == [
        ("store", 150),
        ("load", 150),
        ("store", 7),
        ("store", 7),
        ("load", 7),
        ("store", 0),
    ]
    assert sorted(fake.log[6:]) == [("load", 0), ("load", 7), ("load", 150)]
    assert result.pages == result.verified == result.final_reads == 3
    assert fake.pages[150] == corpus[150]
    assert fake.pages[7] != corpus[7]


def test_a_slot_beyond_the_corpus_gets_a_page_of_it_too(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x" * PAGE)
    (tmp_path / "a.txt").write_text("W 150\nW 150\nW 3\n")
    with read_inputs([str(tmp_path / "input")], PAGE) as corpus:
        result = go(Fake(), corpus, Trace(str(tmp_path / "a.txt"), PAGE))
    assert result.pages == result.verified == 2


@pytest.mark.parametrize("calls", [0, 1, 2, 4, 10, 30, 44])
def test_stopping_early_gives_what_was_done(corpus: Corpus, calls: int) -> None:
    left = [calls]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    fake = Fake()
    result = go(fake, corpus, stop=stop)
    assert result.interrupted
    assert result.failures == 0
    assert result.pages == len(fake.pages)
    assert result.verified == result.final_reads <= result.pages
    assert (result.verified > 0) == (calls == 44)
    if not result.final_reads:
        assert result.final_refaults == 0


def test_the_report_says_what_was_saved() -> None:
    counters = attrs.evolve(
        NOTHING,
        stored_pages=1000,
        compressed_bytes=500_000,
        live_bytes=500_000,
        written_back_pages=300,
        writeback_blocks=10,
        writeback_bytes=10 * 65536,
    ).asdict()
    result = Result(
        page_size=PAGE, pipeline={"policy": "lru"}, pages=1000, stores=2000, store_seconds=0.5
    )
    result.counters = counters
    rows = dict(report(result))
    assert rows["ratio"].startswith("4.10 ")
    assert rows["saved"] == "560.0 KiB (47%) against 4KiB writeback of the same pages"
    assert rows["blocks written"] == "10 (640.0 KiB) with 300 pages"
    assert rows["stored"] == "2,000 pages in 0.50 s: 4,000 pages/s, 16.4 MB/s"
    assert rows["loaded"] == "-"
    assert rows["verified"].startswith("0 of 1,000 ")
    assert not {"failures", "interrupted"} & set(rows)
    result.counters = NOTHING.asdict()
    assert dict(report(result))["ratio"] == "-"
    assert dict(report(result))["saved"].startswith("- ")
