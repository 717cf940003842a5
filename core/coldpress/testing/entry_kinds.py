"""What the special kinds of entry types promise besides: in the pool, cache, device, shadow."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.codecs import STORED
from coldpress.errors import SlotEmpty
from coldpress.folio import MAX_BYTES
from coldpress.roles import CacheEntryType, DeviceEntryType, PoolEntryType, ShadowEntryType
from coldpress.testing.entry_bench import CACHE_PAGES, PAYLOADS, Bench
from coldpress.testing.entry_claims import EntryTypeContract
from coldpress.testing.pages import PAGE, any_page, same


class PoolKind(EntryTypeContract):
    """Of a `PoolEntryType`."""

    @pytest.fixture
    def pool(self, bench: Bench) -> Bench:
        if not issubclass(self.plugin, PoolEntryType):
            pytest.skip("it is no PoolEntryType")
        self.claimed(bench, 60)
        if self.plugin.folios:
            for number in range(8):
                bench.offered(self.a_folio(number, number % 4 + 1))
        return bench

    def test_what_is_copied_out_is_what_was_described(self, pool: Bench) -> None:
        one: Any = pool.one
        for held in pool.held:
            codec, order, length = one.describe(held.payload)
            assert PAGE << order == len(held.data)
            assert 1 <= length <= len(held.data), "an object longer than its pages"
            data = pool.copied(held)
            assert pool.codecs.decode(codec, data, len(held.data)) == held.data

    def test_what_was_taken_out_can_be_adopted_again(self, pool: Bench) -> None:
        adopted = list(map(pool.adopt_again, list(pool.held)))
        if not any(adopted):
            pytest.skip("it adopts none of its own objects")
        pool.check_all()
        assert not pool.refused
        pool.release_all()
        pool.check_empty()

    def test_an_adoption_without_room_is_minus_one(self, pool: Bench) -> None:
        held = list(pool.held)
        free = pool.budget.limit - pool.budget.used
        assert pool.budget.take(free)
        for other in held:
            used = pool.budget.used
            if pool.adopt_again(other):  # takes no more than was given back just before
                assert pool.budget.used <= used
        pool.check_all()
        pool.release_all()
        assert pool.budget.used == free

    def test_any_object_is_adopted_as_what_it_is_or_not(self, pool: Bench) -> None:
        one: Any = pool.one
        pool.release_all()
        for codec in (STORED, pool.codecs.current[0], 200):
            for order in range(5):
                for length in (1, PAGE - 1, PAGE, PAGE + 1, PAGE << order, MAX_BYTES):
                    adopts = one.adopts(codec, order, length)
                    assert adopts in (True, False)
                    if adopts:
                        self.adopted(pool, codec, order, length)
        pool.check_empty()

    def adopted(self, pool: Bench, codec: int, order: int, length: int) -> None:
        """An object that somebody has made, which need not be one: it is kept for what it is."""
        one: Any = pool.one
        data = random.Random(length).randbytes(length)
        payload = one.adopt(16, codec, order, data)
        if payload < 0:
            return
        assert one.describe(payload) == (codec, order, length), "it was adopted for another object"
        assert one.span(payload) == 1 << order, "it would be released once for each of its slots"
        out = bytearray(length)
        one.copy_into(payload, memoryview(out), 0)
        assert same(out, data)
        one.release(payload)

    def test_the_zspage_of_an_object_is_its_slots_too(self, pool: Bench) -> None:
        one: Any = pool.one
        for held in pool.held:
            zspage, number = one.zspage(held.payload), one.zspage_number(held.payload)
            if zspage is None:
                assert number == -1
                continue
            assert number == zspage.number
            assert held.slot in zspage.owners, "it was allocated for another slot"


class CacheKind(EntryTypeContract):
    """Of a `CacheEntryType`."""

    @pytest.fixture
    def cache(self) -> Iterator[Bench]:
        if not issubclass(self.plugin, CacheEntryType):
            pytest.skip("it is no CacheEntryType")
        with self.opened() as bench:
            yield bench

    def cached(self, bench: Bench, pages: int, version: int) -> bool:
        """Put so many pages in as one; False if there is no room."""
        data = b"".join(any_page(at, version) for at in range(pages))
        before = bench.budget.used
        room = bytearray(data)
        held = bench.commit(data, memoryview(room))
        room[:] = bytes(len(room))
        if held is None:
            return False
        assert bench.budget.used - before == len(data), "the pages are not what it took"
        assert bench.one.span(held.payload) == pages
        return True

    def whole(self, bench: Bench) -> None:
        one: Any = bench.one
        bench.check_all()
        pages = sum(held.pages for held in bench.held)
        assert one.pages == pages <= CACHE_PAGES
        assert bench.budget.used == pages * PAGE
        assert one.resident_bytes == pages * PAGE

    def test_cached_pages_come_back_and_count(self, cache: Bench) -> None:
        rng = random.Random(1)
        for version in range(300):
            self.cached(cache, 1 << rng.randrange(5), version)
            if rng.random() < 0.5 and cache.held:
                cache.release(rng.choice(cache.held))
            if version % 16 == 0:
                self.whole(cache)
        assert cache.refused, "it holds more pages than `cache_pages`"
        cache.release_all()
        self.whole(cache)
        cache.check_empty()

    def test_the_cache_takes_no_more_pages_than_it_may(self, cache: Bench) -> None:
        while self.cached(cache, 1, 1):
            assert len(cache.held) <= CACHE_PAGES
        assert len(cache.held) == CACHE_PAGES
        cache.release_all()
        assert cache.budget.take(cache.budget.limit - 10 * PAGE)
        while self.cached(cache, 1, 2):
            pass
        assert len(cache.held) == 10, "the budget's room and no more"
        cache.check_all()

    def test_overwriting_changes_those_pages_and_no_token(self, cache: Bench) -> None:
        one: Any = cache.one
        for pages in (1, 2, 4, 8):
            assert self.cached(cache, pages, 1)
        for version, held in enumerate(list(cache.held), start=2):
            for at in range(held.pages):
                token, before = cache.token(held)
                new = any_page(at, version)
                one.overwrite(held.payload, memoryview(bytearray(new)), at)
                held.data = before[: at * PAGE] + new + before[(at + 1) * PAGE :]
                assert same(one.decode(token), before), "a token changed with its page"
            self.whole(cache)
        held = cache.held[-1]
        held.data = b"".join(any_page(at, 9) for at in range(held.pages))
        one.overwrite(held.payload, memoryview(held.data))
        self.whole(cache)

    def test_as_many_pages_get_the_payload_that_was_just_released(self, cache: Bench) -> None:
        for pages in (1, 1, 2, 1, 4, 2, 4, 16):
            assert self.cached(cache, pages, 1)
        for held in cache.held[:2]:  # their places are free, too
            cache.release(held)
        for held in list(cache.held):
            cache.release(held)
            assert self.cached(cache, held.pages, 2)
            assert cache.held[-1].payload == held.payload
        self.whole(cache)


class DeviceKind(EntryTypeContract):
    """Of a `DeviceEntryType`; what it reads is read by the whole pipeline."""

    @pytest.fixture
    def places(self) -> Iterator[Any]:
        if not issubclass(self.plugin, DeviceEntryType):
            pytest.skip("it is no DeviceEntryType")
        with self.opened() as bench:
            yield bench.one

    def test_a_place_is_found_again(self, places: Any) -> None:
        largest = places.largest_device
        offsets = st.integers(1, largest - MAX_BYTES) | st.sampled_from(
            [4096, largest // 2, largest - MAX_BYTES]
        )
        lengths = st.integers(1, MAX_BYTES) | st.sampled_from([1, PAGE, MAX_BYTES])

        @self.settings()
        @given(st.lists(st.tuples(offsets, lengths), min_size=2, max_size=40))
        def check(wanted: list[tuple[int, int]]) -> None:
            known: dict[int, tuple[int, int]] = {}
            for offset, length in wanted:
                place = places.place(offset, length)
                assert 0 < place < PAYLOADS, "a payload has 59 bits, and 0 is no place"
                assert known.setdefault(place, (offset, length)) == (offset, length)
                assert places.locate(place) == (offset, length)
                assert not places.seen(place)
                marked = places.mark_seen(place)
                assert 0 < marked < PAYLOADS
                assert places.seen(marked)
                assert places.locate(marked) == (offset, length)
                assert places.mark_seen(marked) == marked

        check()


class ShadowKind(EntryTypeContract):
    """Of a `ShadowEntryType`."""

    @pytest.fixture
    def shadow(self) -> Iterator[Any]:
        if not issubclass(self.plugin, ShadowEntryType):
            pytest.skip("it is no ShadowEntryType")
        with self.opened() as bench:
            yield bench.one

    def test_a_shadow_remembers_its_time_and_holds_no_page(self, shadow: Any) -> None:
        @self.settings()
        @given(st.integers(0, 1 << 48), st.integers(0, 1 << 30))
        def check(clock: int, slot: int) -> None:
            payload = shadow.mark(clock)
            assert 0 <= payload < PAYLOADS
            assert shadow.clock(payload) == clock
            assert shadow.span(payload) == 1
            with pytest.raises(SlotEmpty) as caught:
                shadow.fetch(slot, payload)
            assert caught.value.slot == slot
            shadow.release(payload)

        check()
