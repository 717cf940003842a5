"""Several pipelines, one after the other, over the same pages and accesses at the same limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from coldpress.component import options
from coldpress.config import PipelineConfig, load_config
from coldpress.errors import ConfigError
from coldpress.harness.corpus import Corpus
from coldpress.harness.errors import InputError
from coldpress.harness.footprint import CHUNK, ROOM, compressed_footprint, page_uses
from coldpress.harness.operations import Operations
from coldpress.harness.progress import Progress
from coldpress.harness.row import Row, percent
from coldpress.harness.runner import Runner
from coldpress.harness.timed import Timed
from coldpress.harness.writebackmemory import WritebackMemory
from coldpress.pipeline import Pipeline
from coldpress.units import human_size


@attrs.frozen
class Entrant:
    """A pipeline that takes part: its file and the config keys laid over it."""

    name: str
    path: str
    overrides: tuple[str, ...]

    def config(self, *more: str) -> PipelineConfig:
        """A pipeline to open, with these keys laid over it too. Raises `ConfigError`."""
        return load_config(self.path, overrides=[*self.overrides, *more])


@attrs.frozen
class Run:
    """One run: a pipeline at a limit, which is a fraction of its compressed `footprint`."""

    name: str
    limit: float
    footprint: int
    config: PipelineConfig


def names_of(paths: Sequence[str]) -> list[str]:
    """What the pipelines are called: their files' names; their paths if two have one name."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(set(paths)) else list(paths)


@attrs.frozen
class Comparison:
    """What all pipelines get: the corpus and the operations. `stop` tells when to end early.

    `deterministic`: writeback is done by the storing thread, so that counters repeat exactly.
    """

    corpus: Corpus
    operations: Operations
    deterministic: bool
    progress: Progress
    stop: Callable[[], bool]

    def plan(self, entrants: Sequence[Entrant], limits: Sequence[float]) -> list[Run]:
        """All runs, limit by limit, checked before the first of them begins.

        Raises `InputError` for a limit that is too small for a pipeline, `KeyboardInterrupt` when
        stopped.
        """
        uses = page_uses(self.operations, self.corpus)
        footprints: dict[object, int] = {}  # several pipelines often compress alike
        measured = []
        for one in entrants:
            given = one.config()
            key = _compresses(given)
            if key not in footprints:
                footprints[key] = self._footprint(one, given, uses)
            measured.append((one, footprints[key]))
        return [_planned(*pair, limit) for limit in limits for pair in measured]

    def rows(self, runs: Sequence[Run]) -> Iterator[Row]:
        """Carry the runs out; the row of each that was not stopped."""
        for run in runs:
            self.progress.title = f"{run.name} at {percent(run.limit)}: "
            row = self._row(run)
            if row is None:
                return
            yield row

    def _footprint(self, one: Entrant, given: PipelineConfig, uses: memoryview) -> int:
        limit = CHUNK * ROOM * given.page_size + 32 * given.packer.block
        config = one.config(f"slots={CHUNK}", f"allocator.limit={limit}", "cache.pages=0")
        self.progress.title = f"{one.name}: "
        return compressed_footprint(config, self.corpus, uses, self.progress, self.stop)

    def _row(self, run: Run) -> Row | None:
        memory = WritebackMemory()
        if self.deterministic:
            pipeline = Pipeline(run.config, synchronous=True, around_writeback=memory)
        else:
            pipeline = Pipeline(run.config)
        with pipeline:
            timed = Timed(pipeline)
            names, slots = run.config.names, run.config.slots
            runner = Runner(timed, names, self.corpus, slots, self.progress, self.stop)
            result = runner.run(self.operations)
        if result.interrupted:
            return None
        return Row(
            pipeline=run.name,
            packer=run.config.names["packer"],
            limit=run.limit,
            footprint_bytes=run.footprint,
            result=result,
            store_times=timed.store_times,
            load_times=timed.load_times,
            writeback_peak_bytes=memory.peak,
        )


def _planned(one: Entrant, footprint: int, limit: float) -> Run:
    size = int(limit * footprint)
    try:
        config = one.config(f"allocator.limit={size}")
    except ConfigError as error:  # without this limit nothing was wrong
        raise InputError(
            f"--limit {percent(limit)}: {one.path}: {human_size(size)}, of a compressed footprint "
            f"of {human_size(footprint)}, is too small a pool: {error.problems[0].message}"
        ) from error
    return Run(one.name, limit, footprint, config)


def _compresses(config: PipelineConfig) -> object:
    """What decides how large a page's object is: equal for pipelines that compress alike."""
    parts: list[object] = [config.entries]
    for role in ("compressor", "allocator"):
        component = getattr(config, role)
        parts.append(config.names[role])
        parts += [
            (field.name, getattr(component, field.name))
            for field in options(type(component))
            if field.name != "limit"
        ]
    return tuple(parts)
