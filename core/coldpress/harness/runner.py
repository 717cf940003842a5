"""Puts pages through a pipeline and checks that every one comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter, process_time
from typing import Any, Protocol

from coldpress.component import Buffer
from coldpress.errors import ColdpressError, SlotEmpty
from coldpress.harness.corpus import Corpus
from coldpress.harness.ledger import Ledger, digest
from coldpress.harness.operations import Operations
from coldpress.harness.progress import Progress
from coldpress.harness.result import Result

BATCH = 64
"""Pages in one `store_many` or `load_many`."""

_SAMPLE = 1024  # pages between two looks at the pool's residency
_CHANGED = 16  # every so many slots one is invalidated, another overwritten
_POISON = 0xA5  # fills the buffer before each read, so that an old page in it passes for none


class Stats(Protocol):
    def asdict(self) -> dict[str, Any]: ...


class Target(Protocol):
    """What the runner needs of a `Pipeline`."""

    def store(self, slot: int, page: Buffer, /) -> None: ...
    def store_many(self, slot: int, buffer: Buffer, /) -> None: ...
    def load(self, slot: int, /) -> bytes: ...
    def load_many(self, slot: int, buffer: memoryview, /) -> None: ...
    def invalidate(self, slot: int, /) -> None: ...
    def stats(self) -> Stats: ...
    def pool_resident_bytes(self) -> int: ...


class _Stopped(Exception):
    """The run was asked to stop."""


class _StoreFailed(Exception):
    """A store failed, which was noted; what is stored is still to be read back."""


class Runner:
    """One run over one open, empty pipeline with `slots` slots.

    `stop` is asked between calls whether to end early. Errors of the pipeline and wrong pages
    become the result's failures; after a failed store nothing more is stored, but all that was is
    read back.

    Notes: not thread-safe; for one call of `run`.
    """

    def __init__(
        self,
        pipeline: Target,
        names: Mapping[str, str],
        corpus: Corpus,
        slots: int,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pipeline = pipeline
        self._corpus = corpus
        self._progress = progress or Progress()
        self._stop = stop
        self._ledger = Ledger(corpus, slots)
        self._buffer = memoryview(bytearray(BATCH * corpus.page_size))
        self._poison = bytes([_POISON]) * len(self._buffer)
        self._until_sample = 0
        self._pending_steps = 0
        self.result = Result(page_size=corpus.page_size, pipeline=dict(names))

    def run(self, operations: Operations | None = None) -> Result:
        """Store, change and read back the corpus; or do these `operations` instead of changing."""
        begin = process_time()
        try:
            try:
                if operations is None or operations.fill:
                    self._fill()
                if operations is None:
                    self._change()
                else:
                    self._replay(operations)
            except _StoreFailed:
                pass
            self.result.cpu_seconds = process_time() - begin
            self.result.before_reading_back = self._pipeline.stats().asdict()
            self._read_back()
        except _Stopped:
            self.result.interrupted = True
        self._sample()
        self.result.pages = self._ledger.pages
        self.result.counters = self._pipeline.stats().asdict()
        return self.result

    def _fill(self) -> None:
        """Every page of the corpus into the slot of its number."""
        pages = len(self._corpus)
        self._phase("storing", pages)
        for first in range(0, pages, BATCH):
            self._store_many(first, min(BATCH, pages - first))

    def _change(self) -> None:
        """Empty some slots, see that they are empty, store them anew; overwrite some others."""
        pages = len(self._corpus)
        self._phase("changing", 3 * -(-pages // _CHANGED))
        for slot in range(0, pages, _CHANGED):
            self._invalidate(slot)
        for slot in range(0, pages, _CHANGED):
            if not self._ledger.holds(slot):
                self._expect_empty(slot)
                self._store(slot)
        for slot in range(_CHANGED // 2, pages, _CHANGED):
            self._store(slot)

    def _replay(self, operations: Operations) -> None:
        self._phase(operations.name, operations.total)
        for slot, write in operations:
            if write or not self._ledger.holds(slot):
                self._store(slot)
            else:
                self._load(slot)

    def _read_back(self) -> None:
        """All that should be there; a batch that fails is read page by page."""
        result = self.result
        self._phase("reading back", self._ledger.pages)
        for first, count in self._ledger.runs(BATCH):
            self._before(count)
            self._buffer[:] = self._poison
            pages = self._buffer[: count * self._corpus.page_size]
            begin = perf_counter()
            try:
                self._pipeline.load_many(first, pages)
            except ColdpressError:
                for slot in range(first, first + count):
                    result.verified += self._load(slot)
            else:
                result.load_seconds += perf_counter() - begin
                result.loads += count
                for at in range(count):
                    page = pages[at * self._corpus.page_size :][: self._corpus.page_size]
                    result.verified += self._check(first + at, page)
            result.final_reads += count

    def _store_many(self, first: int, count: int) -> None:
        """The corpus's pages of the same numbers into empty slots."""
        self._before(count)
        digests = [digest(self._corpus[slot]) for slot in range(first, first + count)]
        pages = self._corpus.run(first, count)
        begin = perf_counter()
        try:
            self._pipeline.store_many(first, pages)
        except ColdpressError as error:
            self.result.fail(f"storing slots {first} to {first + count - 1}: {error}")
            self._settle(first, digests)
            raise _StoreFailed from error
        self.result.store_seconds += perf_counter() - begin
        self.result.stores += count
        for at, one in enumerate(digests):
            self._ledger.stored(first + at, one)

    def _settle(self, first: int, digests: list[int]) -> None:
        """After a failed `store_many` each slot holds its new page or, as before, nothing."""
        for slot, new in enumerate(digests, first):
            try:
                page = self._pipeline.load(slot)
            except SlotEmpty:
                continue
            except ColdpressError as error:
                self.result.fail(f"slot {slot}: {error}")
                continue
            self._ledger.stored(slot, new)
            if digest(page) != new:
                self.result.fail(f"slot {slot}: a failed store left a page that is not the new one")

    def _store(self, slot: int) -> None:
        self._before(1)
        page = self._ledger.next_page(slot)
        new = digest(page)
        begin = perf_counter()
        try:
            self._pipeline.store(slot, page)
        except ColdpressError as error:
            self.result.fail(f"storing slot {slot}: {error}")
            raise _StoreFailed from error
        self.result.store_seconds += perf_counter() - begin
        self.result.stores += 1
        self._ledger.stored(slot, new)

    def _load(self, slot: int) -> bool:
        """Read one page; whether it is what it should be."""
        self._before(1)
        begin = perf_counter()
        try:
            page = self._pipeline.load(slot)
        except ColdpressError as error:
            self.result.fail(f"slot {slot}: {error}")
            return False
        self.result.load_seconds += perf_counter() - begin
        self.result.loads += 1
        return self._check(slot, page)

    def _check(self, slot: int, page: Buffer) -> bool:
        if self._ledger.matches(slot, page):
            return True
        self.result.fail(f"slot {slot}: the page that came back is not the one that was stored")
        return False

    def _invalidate(self, slot: int) -> None:
        self._before(1)
        try:
            self._pipeline.invalidate(slot)
        except ColdpressError as error:
            self.result.fail(f"invalidating slot {slot}: {error}")
        else:
            self._ledger.emptied(slot)

    def _expect_empty(self, slot: int) -> None:
        try:
            self._pipeline.load(slot)
        except SlotEmpty:
            return
        except ColdpressError as error:
            self.result.fail(f"slot {slot}, invalidated: {error}")
        else:
            self.result.fail(f"slot {slot}: it was invalidated, and a page came back")

    def _phase(self, name: str, total: int) -> None:
        self._pending_steps = 0
        self._progress.phase(name, total)

    def _before(self, pages: int) -> None:
        """What happens between calls: stop if asked to, show progress, look at the pool."""
        if self._stop():
            raise _Stopped
        self._pending_steps += pages
        if self._pending_steps >= BATCH:
            self._progress.advance(self._pending_steps)
            self._pending_steps = 0
        self._until_sample -= pages
        if self._until_sample <= 0:
            self._until_sample = _SAMPLE
            self._sample()

    def _sample(self) -> None:
        resident = self._pipeline.pool_resident_bytes()
        self.result.pool_resident_peak = max(self.result.pool_resident_peak, resident)
