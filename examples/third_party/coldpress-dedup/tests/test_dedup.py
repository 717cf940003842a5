"""The kit, and what sharing copies promises."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coldpress
import coldpress_dedup.entry_type
from coldpress.testing import EntryTypeTests
from coldpress_dedup import Dedup
from coldpress_dedup.copies import Copies
from coldpress_dedup.sightings import Sight, Sightings

PAGE = 4096
LIMIT = 4 << 20
WORDS = [b"%016x" % (number * 0x9E3779B97F4A7C15 % 2**64) for number in range(256)]


class TestDedup(EntryTypeTests):
    plugin = Dedup


def content(number: int) -> bytes:
    """A page that compresses to about a half; another for each number."""
    rng = random.Random(number)
    return rng.randbytes(PAGE // 4) + b"".join(rng.choices(WORDS, k=PAGE * 3 // 4 // 16))


def pipeline(**tables: Any) -> coldpress.Pipeline:
    shape: dict[str, Any] = {
        "slots": 8192,
        "entries": ["filled", "dedup", "zswap", "raw"],
        "compressor": {"use": "lz4"},
        "allocator": {"limit": LIMIT},
        "device": {"use": "memory", "size": "64MiB"},
    }
    return coldpress.open(shape | tables)


def dedup_of(one: coldpress.Pipeline) -> Dedup:
    (found,) = (each for each in one.config.entry_types if isinstance(each, Dedup))
    return found


@pytest.fixture
def pool() -> Iterator[coldpress.Pipeline]:
    with pipeline() as one:
        yield one


def state(one: coldpress.Pipeline) -> tuple[int, int]:
    """Copies, and slots that share them."""
    return dedup_of(one).copies, dedup_of(one).references


# -- counting ---------------------------------------------------------------------------------


def test_the_first_is_left_to_others_and_the_rest_share_one_copy(pool: coldpress.Pipeline) -> None:
    pool.store(0, content(1))
    assert state(pool) == (0, 0)
    assert pool.stats().compressed_bytes > 0  # an object that can be written back
    for slot in range(1, 100):
        pool.store(slot, content(1))
        assert state(pool) == (1, slot)
    pool.store(100, content(2))
    assert state(pool) == (1, 99)
    assert all(pool.load(slot) == content(1) for slot in range(100))
    assert pool.load(100) == content(2)


def test_a_copy_goes_with_its_last_slot_however_that_goes(pool: coldpress.Pipeline) -> None:
    for slot in range(4):
        pool.store(slot, content(1))
    pool.invalidate(1)
    pool.store(2, content(2))  # overwritten
    assert state(pool) == (1, 1)
    pool.store(3, content(1))  # by itself: it lives on
    assert state(pool) == (1, 1)
    assert pool.load(3) == content(1)
    pool.invalidate(3)
    assert state(pool) == (0, 0)
    for slot in range(4):
        pool.invalidate(slot)
    assert pool.stats().pool_bytes == 0
    pool.store(5, content(1))  # its digest is remembered
    assert state(pool) == (1, 1)
    assert pool.load(5) == content(1)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("sssiv"), st.integers(0, 11), st.integers(0, 3)), max_size=60
    )
)
@settings(max_examples=60)
def test_any_history_counts_each_slot_once(steps: list[tuple[str, int, int]]) -> None:
    held: dict[int, bytes] = {}
    with pipeline() as one:
        dedup = dedup_of(one)
        for step, slot, number in steps:
            if step == "i":
                one.invalidate(slot)
                held.pop(slot, None)
            elif step == "v":  # a folio, which the type does not take as a whole
                first = slot - slot % 4
                pages = [content(number if at % 2 else 9) for at in range(4)]
                one.store(first, b"".join(pages))
                held.update(zip(range(first, first + 4), pages, strict=True))
            else:
                one.store(slot, content(number))
                held[slot] = content(number)
            assert dedup.references <= len(held)
            assert dedup.copies <= min(dedup.references, len(set(held.values())))
            assert all(one.load(slot) == page for slot, page in held.items())
        for slot in held:
            one.invalidate(slot)
        assert state(one) == (0, 0)
        assert dedup.copied_bytes == 0
        assert one.stats().pool_bytes == 0


def test_the_pool_holds_two_of_each_not_all() -> None:
    used = []
    for entries in (["filled", "zswap", "raw"], ["filled", "dedup", "zswap", "raw"]):
        with pipeline(entries=entries, allocator={"limit": "32MiB"}) as one:
            for slot in range(2000):
                one.store(slot, content(slot % 40))
            used.append(one.stats().pool_bytes)
            assert all(one.load(slot) == content(slot % 40) for slot in range(0, 2000, 7))
    plain, shared = used
    assert shared < plain / 20  # 80 objects in place of 2000, and zspages that are not full


def test_four_threads_with_the_same_contents_lose_and_leave_nothing(
    pool: coldpress.Pipeline,
) -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        rng = random.Random(number)
        held: dict[int, int] = {}
        try:
            for _ in range(1500):
                slot = rng.randrange(64) * 4 + number
                what = rng.random()
                if what < 0.5:
                    held[slot] = rng.randrange(6)
                    pool.store(slot, content(held[slot]))
                elif what < 0.75:
                    pool.invalidate(slot)
                    held.pop(slot, None)
                elif slot in held and pool.load(slot) != content(held[slot]):
                    wrong.append(f"slot {slot}")
            for slot, page in held.items():
                if pool.load(slot) != content(page):
                    wrong.append(f"slot {slot} at the end")
                pool.invalidate(slot)
        except BaseException as error:
            wrong.append(f"thread {number}: {error!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert state(pool) == (0, 0)
    assert pool.stats().pool_bytes == 0


# -- digests prove nothing --------------------------------------------------------------------


class _Colliding:
    """A hash that all pages have in common."""

    @staticmethod
    def xxh3_64_intdigest(page: memoryview) -> int:
        return 12345


def test_contents_of_one_digest_are_not_mixed_up(
    pool: coldpress.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coldpress_dedup.entry_type, "xxhash", _Colliding)
    rng = random.Random(1)
    # All of the same compressed length, so that nothing but the bytes tells them apart.
    pages = [rng.randbytes(PAGE // 2).ljust(PAGE, b"\0") for _ in range(5)]
    held: dict[int, int] = {}
    for _ in range(400):
        slot = rng.randrange(50)
        if rng.random() < 0.2:
            pool.invalidate(slot)
            held.pop(slot, None)
        else:
            held[slot] = rng.randrange(5)
            pool.store(slot, pages[held[slot]])
    assert all(pool.load(slot) == pages[number] for slot, number in held.items())
    assert dedup_of(pool).copies < dedup_of(pool).references  # some are the same, too
    for slot in held:
        pool.invalidate(slot)
    assert state(pool) == (0, 0)


class _Objects:
    """As much of an allocator as copies need."""

    def __init__(self) -> None:
        self.objects: dict[int, bytes] = {}
        self.handle = 100

    def alloc(self, data: bytes, owner: int) -> int:
        self.handle += 1
        self.objects[self.handle] = data
        return self.handle

    def read(self, handle: int, length: int) -> bytes:
        return self.objects[handle][:length]

    def free(self, handle: int) -> None:
        del self.objects[handle]


def test_a_copy_is_the_same_if_codec_length_and_bytes_are() -> None:
    objects: Any = _Objects()
    copies = Copies(objects, most=2)
    number = copies.add(7, 1, b"bytes")
    assert copies.is_same(number, 1, b"bytes")
    assert not copies.is_same(number, 2, b"bytes")  # which may stand for another page
    assert not copies.is_same(number, 1, b"byte")
    assert not copies.is_same(number, 1, b"bytes\0")
    assert not copies.is_same(number, 1, b"Bytes")
    other = copies.add(8, 1, b"bytes")
    assert (other, copies.add(9, 1, b"x")) == (1 - number, -1)  # there is no third number
    copies.share(number)
    assert [copies.drop(number), copies.drop(number), copies.drop(other)] == [False, True, True]
    assert (copies.count, copies.object_bytes, objects.objects) == (0, 0, {})
    assert {copies.add(0, 1, b"a"), copies.add(0, 1, b"b")} == {0, 1}


def test_copies_of_another_compressor_are_not_compared_with(pool: coldpress.Pipeline) -> None:
    for slot in range(3):
        pool.store(slot, content(1))
    pool.reconfigure({"compressor": {"use": "zstd"}})
    for slot in range(3, 6):
        pool.store(slot, content(1))
    assert state(pool) == (2, 5)  # one of each, and both are shared
    assert all(pool.load(slot) == content(1) for slot in range(6))
    for slot in range(1, 3):
        pool.invalidate(slot)
    assert state(pool) == (1, 3)
    pool.store(7, content(1))
    assert state(pool) == (1, 4)


def test_copies_in_an_allocator_that_was_replaced_stay_until_their_slots_change(
    pool: coldpress.Pipeline,
) -> None:
    for slot in range(6):
        pool.store(slot, content(1))
    old = dedup_of(pool)
    pool.reconfigure({"allocator": {"use": "zbud"}})
    assert state(pool) == (0, 0)  # another instance
    assert pool.stats().retired_pool_pages == 6
    for slot in range(10, 16):
        pool.store(slot, content(1))
    assert all(pool.load(slot) == content(1) for slot in (*range(6), *range(10, 16)))
    assert (old.copies, old.references) == (1, 5)
    for slot in range(6):
        pool.store(slot, content(2))
    assert (old.copies, old.references) == (0, 0)
    assert pool.stats().retired_pool_pages == 0
    assert all(pool.load(slot) == content(2) for slot in range(6))
    for slot in range(16):
        pool.invalidate(slot)
    assert pool.stats().pool_bytes == 0


def test_a_page_that_passes_the_swap_cache_is_seen_once() -> None:
    with pipeline(cache={"pages": 16}) as one:
        for slot in range(400):
            one.store(slot, content(slot))
        one.sync()
        assert state(one) == (0, 0)
        for slot in range(400, 800):
            one.store(slot, content(400))
        one.sync()
        assert state(one) == (1, 399)
        assert all(one.load(slot) == content(min(slot, 400)) for slot in range(800))


def test_a_page_that_does_not_shrink_is_left_to_others(pool: coldpress.Pipeline) -> None:
    noise = random.Random(1).randbytes(PAGE)
    for slot in range(4):
        pool.store(slot, noise)
    assert state(pool) == (0, 0)
    assert pool.stats().incompressible_pages == 4
    assert pool.load(3) == noise


def test_what_is_known_of_digests() -> None:
    seen = Sightings(16, 8)
    assert [seen.look(5), seen.look(5)] == [Sight.FIRST, Sight.AGAIN]
    assert seen.look(5 + 16) is Sight.FIRST  # in its place from now on
    assert seen.look(5) is Sight.FIRST
    seen.has_copy(5, 3)
    assert seen.look(5) is Sight.COPIED
    assert seen.look(5 + 16) is seen.look(5 + 16) is Sight.FIRST  # the place is taken
    assert (seen.copy_of(5), seen.copy_of(5 + 16)) == (3, -1)
    seen.has_copy(5, 4)
    seen.forget_copy(3)  # another is found there
    assert seen.copy_of(5) == 4
    seen.forget_copy(4)
    assert (seen.copy_of(5), seen.look(5)) == (-1, Sight.AGAIN)


# -- room -------------------------------------------------------------------------------------


def test_copies_take_a_quarter_of_the_limit_and_what_has_one_still_shares_it(
    pool: coldpress.Pipeline,
) -> None:
    dedup = dedup_of(pool)
    count = 2000
    for slot in range(count):
        pool.store(slot, content(slot))
        pool.store(4000 + slot, content(slot))
        assert dedup.copied_bytes < LIMIT // 4 + PAGE
    assert dedup.copied_bytes >= LIMIT // 4
    copies, references = state(pool)
    assert copies < count / 2
    pool.store(8000, content(0))
    pool.store(8001, content(count - 1))  # seen before, and without a copy
    assert state(pool) == (copies, references + 1)
    stats = pool.stats()
    assert stats.written_back_pages > 0  # the rest of the pool is written out as ever
    assert stats.pool_bytes_peak <= stats.pool_limit
    for slot in range(0, count, 3):
        assert pool.load(slot) == pool.load(4000 + slot) == content(slot)


def test_small_copies_count_as_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coldpress_dedup.entry_type, "_BYTES_PER_DIGEST", 4)  # places for all
    tables = {"compressor": {"use": "zstd"}, "packer": {"block": "16KiB"}}
    with pipeline(allocator={"limit": "512KiB"}, **tables) as one:
        dedup = dedup_of(one)
        for number in range(5000):
            page = number.to_bytes(4, "little").ljust(16, b"x") * (PAGE // 16)
            one.store(8191, page)
            one.store(number, page)
        quarter = 128 << 10
        assert dedup.copied_bytes < quarter
        assert dedup.copies == quarter // 32  # the smallest object that an allocator keeps


def test_neither_copies_nor_slots_cost_python_objects(pool: coldpress.Pipeline) -> None:
    for slot in range(200):
        pool.store(slot, content(slot % 100))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for slot in range(200, 3000):
            pool.store(slot, content(slot % 150))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert dedup_of(pool).references > 2500
    assert grown < 20_000


def test_the_tables_are_as_large_as_it_says() -> None:
    with pipeline(allocator={"limit": "256MiB"}) as one:
        dedup = dedup_of(one)
        before = dedup.metadata_bytes
        for number in range(3000):
            one.store(0, content(number))
        places = dedup.metadata_bytes
        # Digests are anywhere in a table of 12 bytes for each KiB of the limit, 3000 OS pages of it
        # at most; copies are side by side.
        assert 12 * 3000 < places - before <= 12 * (256 << 10)
        for number in range(3000):
            one.store(number, content(number))
        assert 16 * 3000 <= dedup.metadata_bytes - places <= 23 * 3000 + 8 * PAGE
        assert one.stats().metadata_bytes > dedup.metadata_bytes
