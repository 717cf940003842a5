"""What every slot should hold, known without asking the pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import xxhash

from coldpress.component import Buffer
from coldpress.flat import table
from coldpress.harness.corpus import Corpus

_STRIDE = 2654435761
"""How many corpus pages on the next version of a slot is; a prime, so that it is another page."""


def corpus_page(slot: int, version: int, pages: int) -> int:
    """Which of a corpus's `pages` pages the version of a slot is; the first version is 0."""
    return (slot + version * _STRIDE) % pages


class Ledger:
    """The hash of the page in each slot, and which slots hold one, in flat tables.

    Hashes (64-bit xxh3) are of the corpus's bytes, never of the pipeline's.

    Attributes: `pages`, how many slots hold a page.

    Notes: not thread-safe.
    """

    def __init__(self, corpus: Corpus, slots: int) -> None:
        self.pages = 0
        self._corpus = corpus
        self._digests = table("Q", slots)
        self._versions = table("I", slots)
        self._live = bytearray(slots)

    def next_page(self, slot: int) -> memoryview:
        """The page that is to be stored in `slot` next."""
        corpus = self._corpus
        return corpus[corpus_page(slot, self._versions[slot], len(corpus))]

    def stored(self, slot: int, digest: int) -> None:
        """`next_page`, whose hash is `digest`, is in the slot now."""
        self._digests[slot] = digest
        self._versions[slot] += 1
        if not self._live[slot]:
            self._live[slot] = 1
            self.pages += 1

    def emptied(self, slot: int) -> None:
        """The slot, which held a page, holds none."""
        self._live[slot] = 0
        self.pages -= 1

    def holds(self, slot: int) -> bool:
        """Whether there should be a page in the slot."""
        return self._live[slot] == 1

    def matches(self, slot: int, page: Buffer) -> bool:
        """Whether `page` is what should be in the slot."""
        return digest(page) == self._digests[slot]

    def runs(self, longest: int) -> Iterator[tuple[int, int]]:
        """The slots that hold a page, as first slot and count: consecutive, at most `longest`."""
        end = len(self._live)
        first = self._live.find(1)
        while first >= 0:
            stop = self._live.find(0, first, first + longest)
            if stop < 0:
                stop = min(first + longest, end)
            yield first, stop - first
            first = self._live.find(1, stop)


def digest(page: Buffer) -> int:
    """The page's 64-bit xxh3."""
    return xxhash.xxh3_64_intdigest(page)
