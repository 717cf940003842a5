"""An entry type with the parts of a pipeline around it, and a copy of all that it was given."""

from __future__ import annotations

import threading
from itertools import count
from typing import Any

import attrs

from coldpress.blockstore import BlockStore
from coldpress.budget import PoolBudget
from coldpress.codecs import Codecs
from coldpress.config import load_config
from coldpress.folio import MAX_PAGES
from coldpress.roles import EntryContext, EntryType, PoolEntryType
from coldpress.table import PAYLOAD_AT
from coldpress.testing.pages import PAGE, same

PAYLOADS = 1 << 64 - PAYLOAD_AT
CACHE_PAGES = 48


@attrs.define(eq=False)
class Held:
    """What was committed: its first slot, its bytes and its payload."""

    slot: int
    data: bytes
    payload: int

    @property
    def pages(self) -> int:
        return len(self.data) // PAGE


def claimed(one: EntryType, page: memoryview) -> Any | None:
    """What `prepare` makes of a page: it may claim it when it sees it for the second time."""
    prepared = one.prepare(page)
    return one.prepare(page.toreadonly()) if prepared is None else prepared


class Bench:
    """Opens an entry type as a pipeline does, and calls it as a pipeline does.

    Notes: not thread-safe.
    """

    def __init__(self, one: EntryType, limit: int = 1 << 20) -> None:
        shape = {
            "compressor": {"use": "lz4"},
            "allocator": {"use": "zsmalloc", "limit": limit},
            "packer": {"use": "bounce", "block": "64KiB"},
            "device": {"use": "memory", "size": "4MiB"},
        }
        config = load_config(shape)
        config.packer.open(PAGE)
        self.budget = PoolBudget(limit)
        self.allocator = config.allocator
        self.allocator.open(self.budget, PAGE)
        self.codecs = Codecs(config.compressor)
        self._lock = threading.Lock()
        self.store = BlockStore(config.device, config.packer, PAGE, self._lock)
        self.one = one
        self.held: list[Held] = []
        self.refused = 0
        self._slots = count(0, MAX_PAGES)
        one.open(
            EntryContext(
                page_size=PAGE,
                allocator=self.allocator,
                budget=self.budget,
                codecs=self.codecs,
                store=self.store,
                cache_pages=CACHE_PAGES,
            )
        )

    def close(self) -> None:
        """As the pipeline closes."""
        with self._lock:
            self.allocator.close()
            self.one.close()
            self.store.close()

    def offered(self, data: bytes) -> Held | None:
        """Store what the type claims; None if it does not, or has no room (`refused` counts it)."""
        around = bytearray(b"\xee" * 64 + data + b"\xee" * 64)
        view = memoryview(around)[64:-64]
        prepared = claimed(self.one, view)
        assert same(view, data), "prepare changed the page"
        if prepared is None:
            return None
        held = self.commit(data, prepared)
        around[:] = bytes(len(around))  # the caller's own again
        return held

    def commit(self, data: bytes, prepared: Any) -> Held | None:
        """Commit what was prepared; None, and nothing may have changed, if there is no room."""
        before = self.state()
        slot = next(self._slots)
        payload = self.one.commit(slot, prepared)
        if payload < 0:
            assert payload == -1
            assert self.state() == before, "a commit without room has changed something"
            self.refused += 1
            return None
        assert self.budget.used <= self.budget.limit
        return self.add(slot, data, payload)

    def add(self, slot: int, data: bytes, payload: int) -> Held:
        """Remember what a slot, and those behind it, hold now."""
        held = Held(slot, data, payload)
        assert 0 <= payload < PAYLOADS, "a payload has 59 bits"
        assert self.one.span(payload) in (1, held.pages)
        if isinstance(self.one, PoolEntryType):
            assert all(payload != other.payload for other in self.held), (
                "one payload for two objects that live at once"
            )
        self.held.append(held)
        return held

    def adopt_again(self, held: Held) -> bool:
        """Take the object of a `PoolEntryType` out, as it is, and let the type adopt it.

        False if it does not adopt such an object; if there is no room, it is gone.
        """
        one = self.one
        assert isinstance(one, PoolEntryType)
        described = one.describe(held.payload)
        if not one.adopts(*described):
            return False
        data = self.copied(held)
        self.release(held)
        before = self.state()
        payload = one.adopt(held.slot, described[0], described[1], data)
        if payload < 0:
            assert payload == -1
            assert self.state() == before, "an adoption without room has changed something"
            self.refused += 1
            return True
        again = self.add(held.slot, held.data, payload)
        assert one.describe(payload) == described
        assert same(self.copied(again), data)
        self.check(again)
        return True

    def copied(self, held: Held) -> bytes:
        """The object of a `PoolEntryType`, as `copy_into` gives it."""
        one = self.one
        assert isinstance(one, PoolEntryType)
        length = one.describe(held.payload)[2]
        out = memoryview(bytearray(b"\xee" * (length + 20)))
        one.copy_into(held.payload, out, 13)
        assert out[:13] == b"\xee" * 13, "copy_into wrote in front of its place"
        assert out[13 + length :] == b"\xee" * 7, "the object is longer than `describe` says"
        return bytes(out[13 : 13 + length])

    def token(self, held: Held, page: int = 0) -> tuple[Any, bytes]:
        """What `fetch` gives for a slot of an object, and what `decode` must make of it."""
        token = self.one.fetch(held.slot + page, held.payload)
        if self.one.span(held.payload) > 1:
            return token, held.data
        return token, held.data[page * PAGE : (page + 1) * PAGE]

    def check(self, held: Held) -> None:
        """It comes back by each of its slots."""
        for page in range(held.pages):
            token, data = self.token(held, page)
            found = self.one.decode(token)
            assert isinstance(found, bytes)
            assert same(found, data), f"slot {held.slot + page} does not hold what was stored"

    def release(self, held: Held) -> None:
        """All slots of the object have changed."""
        self.held.remove(held)
        once = self.one.span(held.payload) > 1
        for _ in range(1 if once else held.pages):
            self.one.release(held.payload)

    def release_all(self) -> None:
        while self.held:
            self.release(self.held[-1])

    def state(self) -> tuple[int, ...]:
        """Everything that is counted."""
        one: Any = self.one
        own = [getattr(one, name) for name in ("object_bytes", "pages") if hasattr(one, name)]
        return self.budget.used, self.allocator.objects, self.allocator.pool_bytes, *own

    def check_all(self) -> None:
        """Contents and counts."""
        for held in self.held:
            self.check(held)
        one = self.one
        assert one.metadata_bytes >= 0
        if isinstance(one, PoolEntryType):
            lengths = sum(one.describe(held.payload)[2] for held in self.held)
            assert one.object_bytes == lengths, "object_bytes is not the sum of the lengths"
            real = one.resident_bytes + self.allocator.resident_bytes()
            assert lengths <= real <= self.budget.used, "object bytes that no RAM holds"

    def check_empty(self) -> None:
        """With everything released, nothing is in use any more."""
        used, *others = self.state()
        assert used == 0, f"{used} bytes of the pool were not given back"
        assert not any(others), "something is left in the pool"
        assert getattr(self.one, "resident_bytes", 0) == 0
