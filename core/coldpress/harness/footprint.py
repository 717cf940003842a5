"""How many bytes the pages of a workload are once they are compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from coldpress.config import PipelineConfig
from coldpress.flat import table
from coldpress.harness.corpus import Corpus
from coldpress.harness.ledger import corpus_page
from coldpress.harness.operations import Operations
from coldpress.harness.progress import Progress
from coldpress.pipeline import Pipeline

CHUNK = 2048
"""Pages in the measuring pipeline at a time: so many slots it has to have."""

ROOM = 2
"""How often the measuring pipeline's limit has to hold such a chunk, uncompressed."""


def page_uses(operations: Operations, corpus: Corpus) -> memoryview:
    """For each page of the corpus, how many slots it is the first version of."""
    uses = table("I", len(corpus))
    used = bytearray(operations.slots)
    if operations.fill:
        used[: len(corpus)] = b"\1" * len(corpus)
    for slot, _ in operations:
        used[slot] = 1
    slot = used.find(1)
    while slot >= 0:
        uses[corpus_page(slot, 0, len(corpus))] += 1
        slot = used.find(1, slot + 1)
    return uses


def compressed_footprint(
    config: PipelineConfig,
    corpus: Corpus,
    uses: memoryview,
    progress: Progress,
    stop: Callable[[], bool],
) -> int:
    """The bytes of all objects if each page of the corpus were stored `uses` times.

    The pipeline itself says how large an object is, for its entry types have a say in it: a
    same-filled page has none, and one that does not shrink is a whole page. Raises
    `KeyboardInterrupt` when `stop` says so.

    Parameters: `config`, whose pipeline has `CHUNK` slots and a limit that is `ROOM` such chunks.
    """
    progress.phase("measuring the compressed footprint", len(corpus))
    total = 0
    with Pipeline(config) as pipeline:
        for times, pages in _chunks(uses):
            if stop():
                raise KeyboardInterrupt
            for slot, page in enumerate(pages):
                pipeline.store(slot, corpus[page])
            stats = pipeline.stats()
            total += times * (stats.compressed_bytes + stats.live_bytes)
            for slot in range(len(pages)):
                pipeline.invalidate(slot)
            progress.advance(len(pages))
    return total


def _chunks(uses: memoryview) -> Iterator[tuple[int, list[int]]]:
    """The pages that are used, those that are used equally often together."""
    order = sorted((page for page in range(len(uses)) if uses[page]), key=uses.__getitem__)
    for times, group in groupby(order, key=uses.__getitem__):
        pages = list(group)
        for first in range(0, len(pages), CHUNK):
            yield times, pages[first : first + CHUNK]
