"""What an entry type that claims pages promises: they come back, and leave nothing behind."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from coldpress.config.entries import claims_pages
from coldpress.folio import MAX_PAGES
from coldpress.registry import Registry
from coldpress.roles import EntryType
from coldpress.testing.cost import CALLS_AT_MOST, FEW, MANY, assert_flat
from coldpress.testing.entry_bench import Bench, Held, claimed
from coldpress.testing.entry_machine import EntryTypeMachine
from coldpress.testing.kit import Kit, with_plugin
from coldpress.testing.memory import MIB, process_bytes
from coldpress.testing.pages import KINDS, PAGE, page, same
from coldpress.testing.threads import interleaved, run_threads

_ORDERS = range(1, 5)
_SLACK = 64 << 10  # bytes of Python objects that come and go by themselves


class EntryTypeContract(Kit):
    """The checks of the role alone, with real parts of a pipeline around the type."""

    role = "entry_type"
    plugin: ClassVar[type[EntryType]]

    @classmethod
    def registry(cls) -> Registry:
        """A type that claims no pages is known to a pipeline by its plain name alone."""
        return with_plugin(cls.role, cls.plugin, alone=not claims_pages(cls.plugin))

    def a_page(self, number: int) -> bytes:
        """A page to be offered, another for each number; some of them must be claimed.

        Override it for a type that claims pages of a kind which is not among the kit's.
        """
        kind = number % (len(KINDS) + 2)
        if kind < len(KINDS):
            return page(KINDS[kind], number, 1)
        if kind == len(KINDS):
            return bytes([number >> 3 & 255]) * PAGE
        rng = random.Random(number)  # a few bytes among zeros
        sparse = bytearray(PAGE)
        for _ in range(number % 32 + 1):
            sparse[rng.randrange(PAGE)] = rng.randrange(1, 256)
        return bytes(sparse)

    def a_folio(self, number: int, order: int) -> bytes:
        """Pages to be offered as one; every third folio has one page again and again."""
        if number % 3 == 0:
            return self.a_page(number) * (1 << order)
        return b"".join(self.a_page(number * MAX_PAGES + at) for at in range(1 << order))

    @contextmanager
    def opened(self, limit: int = MIB) -> Iterator[Bench]:
        bench = Bench(self.make(), limit)
        try:
            yield bench
        finally:
            bench.close()

    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        """The type, opened, with a pool of 1 MiB; skips what is not asked of a type like this."""
        if not claims_pages(self.plugin):
            pytest.skip("it claims no pages")
        with self.opened() as bench:
            yield bench

    @pytest.fixture
    def folios(self, bench: Bench) -> Bench:
        """The same, of a type that takes folios."""
        if not self.plugin.folios:
            pytest.skip("it takes no folios: `folios` is False")
        return bench

    def claimed(self, bench: Bench, wanted: int, start: int = 0) -> list[Held]:
        """So many pages that it claims and has room for, or fewer; they are in the bench, too."""
        found: list[Held] = []
        for number in range(start, start + max(64, 16 * wanted)):
            held = bench.offered(self.a_page(number))
            if held is not None:
                found.append(held)
            if len(found) == wanted or bench.refused:
                break
        if not found and not bench.refused:
            pytest.fail("it claims none of the kit's pages: override `a_page` with some it does")
        return found

    def claimed_folios(self, bench: Bench, wanted: int) -> list[Held]:
        found: list[Held] = []
        for number in range(16 * wanted):
            held = bench.offered(self.a_folio(number, number % 4 + 1))
            if held is not None:
                found.append(held)
            if len(found) == wanted:
                break
        if not found:
            pytest.skip("it claims none of the kit's folios")
        return found

    def test_every_page_that_it_claims_comes_back(self, bench: Bench) -> None:
        self.claimed(bench, 150)
        bench.check_all()
        for held in list(bench.held)[::2]:
            bench.release(held)
        bench.check_all()
        bench.release_all()
        bench.check_empty()

    def test_it_says_so_if_its_objects_lie_in_the_allocator(self, bench: Bench) -> None:
        self.claimed(bench, 60)
        if self.plugin.folios:
            for number in range(8):
                bench.offered(self.a_folio(number, number % 4 + 1))
        if bench.allocator.objects:
            assert self.plugin.in_allocator, "they are lost when the allocator is replaced"

    def test_it_takes_every_page_if_it_says_so(self, bench: Bench) -> None:
        if not self.plugin.takes_all:
            pytest.skip("`takes_all` is False")
        for number in range(200):
            view = memoryview(self.a_page(number))
            assert bench.one.prepare(view) is not None, f"page {number} is not taken"

    def test_folios_come_back_by_each_of_their_slots(self, folios: Bench) -> None:
        self.claimed_folios(folios, 8)
        folios.check_all()
        folios.release_all()
        folios.check_empty()

    def test_a_token_stays_good_whatever_happens_to_the_slot(self, bench: Bench) -> None:
        self.claimed(bench, 40)
        tokens = [bench.token(held) for held in bench.held]
        bench.release_all()
        self.claimed(bench, 60, start=1000)
        bench.allocator.compact()
        for token, data in tokens:
            assert same(bench.one.decode(token), data), "a token went bad when its slot changed"
        tokens += [bench.token(held) for held in bench.held]
        bench.close()
        for token, data in tokens:
            assert same(bench.one.decode(token), data), "a token went bad at close"

    def test_the_pool_moves_under_it(self, bench: Bench) -> None:
        self.claimed(bench, 120)
        rng = random.Random(1)
        while len(bench.held) > 10:
            for held in rng.sample(bench.held, len(bench.held) // 3):
                bench.release(held)
            bench.allocator.compact()
            bench.check_all()

    def test_a_full_pool_is_minus_one_and_changes_nothing(self, bench: Bench) -> None:
        assert bench.budget.take(bench.budget.limit - (256 << 10))
        others = bench.budget.used
        self.claimed(bench, 300)
        if not bench.refused:
            pytest.skip("pages that it claims need so little room that no pool is full")
        offers = [self.a_page(number) for number in range(2000, 2060)]
        if self.plugin.folios:
            offers += [self.a_folio(number, order) for number in range(12) for order in _ORDERS]
        for data in offers:
            bench.offered(data)
        bench.check_all()
        bench.release_all()
        assert bench.budget.used == others
        assert self.claimed(bench, 10, start=3000), "after a refusal it takes nothing"

    def test_what_was_refused_is_committed_when_there_is_room(self, bench: Bench) -> None:
        free = bench.budget.limit
        assert bench.budget.take(free)
        waiting = []
        for number in range(64):
            data = self.a_page(number)
            prepared = bench.one.prepare(memoryview(data))
            if prepared is not None and bench.commit(data, prepared) is None:
                waiting.append((data, prepared))
        bench.budget.give(free)
        for data, prepared in waiting:
            assert bench.commit(data, prepared) is not None
        bench.check_all()

    def test_thousands_of_stores_leave_nothing_behind(self, bench: Bench) -> None:
        pages = [self.a_page(number) for number in range(120)]

        def again() -> int:
            for data in pages:
                bench.offered(data)
            bench.release_all()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            for _ in range(2):  # tables that grow to their size
                again()
            before, tables = again(), bench.one.metadata_bytes
            for _ in range(7):
                after = again()
        finally:
            tracemalloc.stop()
        bench.check_empty()
        assert after - before < _SLACK, "Python objects are left of what was released"
        assert bench.one.metadata_bytes <= tables + PAGE

    def test_pages_are_not_python_objects(self, bench: Bench) -> None:
        assert bench.budget.limit == MIB
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            payloads = self.committed(bench, 1500)
            held = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        for payload in payloads:
            bench.one.release(payload)
        own = bench.one.metadata_bytes + 128 * len(payloads)
        assert held < own + _SLACK, f"{held} bytes of Python objects for {len(payloads)} pages"

    def test_memory_is_real_only_while_it_is_counted(self) -> None:
        if not claims_pages(self.plugin):
            pytest.skip("it claims no pages")
        with self.opened(16 * MIB) as bench:
            one: Any = bench.one

            def counted() -> int:
                own = getattr(one, "resident_bytes", 0)
                return int(bench.allocator.resident_bytes() + own + one.metadata_bytes)

            before = process_bytes()
            payloads = self.committed(bench, 4000)
            assert abs(process_bytes() - before - counted()) < 2 * MIB, (
                "it holds memory that it does not count, or counts what it does not hold"
            )
            for payload in payloads:
                one.release(payload)
            bench.check_empty()
            assert process_bytes() - before - counted() < 2 * MIB

    def test_no_call_costs_more_among_many_pages(self) -> None:
        if not claims_pages(self.plugin):
            pytest.skip("it claims no pages")
        with self.opened(64 * MIB) as few, self.opened(64 * MIB) as many:
            pages = (memoryview(self.a_page(number)) for number in range(64))
            data = next((page for page in pages if claimed(few.one, page) is not None), None)
            if data is None:
                pytest.skip("it claims none of the kit's pages")
            large = _Crowd(many.one, data, MANY)
            small = _Crowd(few.one, data, len(large.payloads) * FEW // MANY)
            for call in ("fetch", "replace"):
                assert_flat(call, getattr(small, call), getattr(large, call))

    def committed(self, bench: Bench, offers: int) -> list[int]:
        """The payloads of what it claims of so many pages and has room for."""
        found = []
        for number in range(offers):
            prepared = bench.one.prepare(memoryview(self.a_page(number)))
            if prepared is not None:
                payload = bench.one.commit(number * MAX_PAGES, prepared)
                if payload < 0:
                    break
                found.append(payload)
        if not found:
            pytest.skip("it claims none of the kit's pages at first sight")
        return found

    def test_threads_prepare_and_decode_at_once(self, bench: Bench) -> None:
        lock = threading.Lock()
        wrong: list[str] = []

        def work(number: int) -> None:
            rng = random.Random(number)
            try:
                for _ in range(60):
                    data = self.a_page(rng.randrange(500) * 4 + number)
                    with interleaved(rng.getrandbits(30)):
                        prepared = bench.one.prepare(memoryview(data))
                    if prepared is None:
                        continue
                    with lock:
                        payload = bench.one.commit(number, prepared)
                        if payload < 0:
                            continue
                        token = bench.one.fetch(number, payload)
                        if rng.random() < 0.5:
                            bench.one.release(payload)
                            payload = -1
                    with interleaved(rng.getrandbits(30)):
                        found = bench.one.decode(token)
                    if found != data:
                        wrong.append(f"thread {number}")
                    if payload >= 0:
                        with lock:
                            bench.one.release(payload)
            except BaseException as error:
                wrong.append(f"thread {number}: {error!r}")

        run_threads(work)
        assert not wrong
        bench.check_empty()

    def test_against_a_model(self) -> None:
        if not claims_pages(self.plugin):
            pytest.skip("it claims no pages")
        contract = self

        class Machine(EntryTypeMachine):
            def __init__(self) -> None:
                super().__init__(contract)

        run_state_machine_as_test(Machine, settings=self.settings(steps=30))


class _Crowd:
    """An opened type that holds one page for so many slots, or for as many as it has room."""

    def __init__(self, one: EntryType, data: memoryview, slots: int) -> None:
        self.one = one
        self.payloads: list[int] = []
        while len(self.payloads) < slots:
            payload = one.commit(len(self.payloads), claimed(one, data))
            if payload < 0:
                break
            self.payloads.append(payload)
        self.prepared = [claimed(one, data) for _ in range(CALLS_AT_MOST)]
        self.rng = random.Random(slots)

    def fetch(self) -> None:
        slot = self.rng.randrange(len(self.payloads))
        self.one.fetch(slot, self.payloads[slot])

    def replace(self) -> None:
        slot = self.rng.randrange(len(self.payloads))
        self.one.release(self.payloads[slot])
        self.payloads[slot] = self.one.commit(slot, self.prepared.pop())
