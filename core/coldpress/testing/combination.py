"""One combination of plugins, put through the kit's whole pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import settings

from coldpress.component import Component
from coldpress.config import load_config
from coldpress.config.schema import PipelineConfig
from coldpress.errors import ConfigError, DeviceUnusable, PluginError
from coldpress.pipeline import Pipeline
from coldpress.registry import Registry
from coldpress.testing.machine import TINY
from coldpress.testing.pages import any_page
from coldpress.testing.shapes import described
from coldpress.testing.whole import SMALL, WholePipelineTests

PAGES = 600
LIMIT = "512KiB"  # whatever the compressor and the entry type, the pages do not fit

COUNTED = {
    "compressor": ("compress", "decompress"),
    "allocator": ("alloc", "free"),
    "policy": ("insert", "evict"),
    "packer": ("begin", "extract"),
    "device": ("write", "read_into"),
}
"""The calls of each role that a combination must have made, or it proved nothing."""


class Combination(WholePipelineTests):
    """The kit's whole pipeline with every part given, and pages that leave the pool and come back.

    `tables_in` makes what the pipeline file says, given a folder that is empty at the beginning.
    """

    examples = 4
    shrinks = False
    seconds = 0.4

    def __init__(
        self, tables_in: Callable[[Path], dict[str, Any]], registry: Registry | None = None
    ) -> None:
        self._tables_in = tables_in
        self._registry = registry

    def tables(self, scratch: Path) -> dict[str, Any]:
        return self._tables_in(scratch)

    def registry(self) -> Registry | None:  # type: ignore[override]
        return self._registry

    def settings(self, steps: int = 25) -> settings:
        # Derandomized: whoever repeats a combination that failed must see it fail again.
        return settings(super().settings(steps), derandomize=True)

    def refusal(self) -> str | None:
        """Why there can be no such pipeline; None if there can."""
        for shape in (TINY, SMALL):
            with tempfile.TemporaryDirectory(prefix="coldpress-kit-") as folder:
                try:
                    config = self._config(shape, Path(folder))
                    Pipeline(config, synchronous=True).close()
                except ConfigError as error:
                    return "; ".join(problem.message for problem in error.problems)
                except (DeviceUnusable, PluginError) as error:
                    return str(error)
                except Exception:  # no refusal but a failure, and the run will show it
                    return None
        return None

    def run(self) -> dict[str, int]:
        """All checks; how often each part was called. Raises what the first that fails raises."""
        for writeback in ("inline", "background"):
            self.test_the_whole_pipeline_keeps_every_page(writeback)
        self.test_threads_on_a_whole_pipeline_lose_nothing()
        return self.pages_leave_and_come_back()

    def pages_leave_and_come_back(self) -> dict[str, int]:
        """More pages than the pool has room for, all read back, twice, by every part's own work."""
        with tempfile.TemporaryDirectory(prefix="coldpress-kit-") as folder:
            shape = described(SMALL, slots=PAGES, allocator={"limit": LIMIT})
            config = self._config(shape, Path(folder))
            calls = _count_calls(config)
            with Pipeline(config) as pipeline:
                for version in range(2):
                    for slot in range(version, PAGES, 1 + version):
                        pipeline.store(slot, any_page(slot, version))
                    wrong = [
                        slot
                        for slot in range(PAGES)
                        if pipeline.load(slot) != any_page(slot, version and slot % 2)
                    ]
                    assert not wrong, f"these slots came back changed: {wrong}"
                stats = pipeline.stats()
        for name in ("written_back_pages", "refaults"):
            calls[name] = getattr(stats, name)
        idle = [name for name, count in calls.items() if not count and name != "claimed"]
        assert not idle, f"this never happened, so that nothing is proved: {', '.join(idle)}"
        return calls

    def _config(self, shape: Mapping[str, Any], scratch: Path) -> PipelineConfig:
        tables = described(dict(shape), **self.tables(scratch))
        return load_config(tables, registry=self._registry)


def _count_calls(config: PipelineConfig) -> dict[str, int]:
    """Counts of calls, by name, that grow while a pipeline of `config` works.

    `claimed` is how many pages the first entry type took.
    """
    counts = dict.fromkeys([name for names in COUNTED.values() for name in names], 0)
    for role, names in COUNTED.items():
        for name in names:
            _watch(getattr(config, role), name, partial(_add, counts, name))
    counts["claimed"] = 0
    _watch(config.claimers[0], "prepare", partial(_add_claimed, counts))
    return counts


def _add(counts: dict[str, int], name: str, result: object) -> None:
    counts[name] += 1


def _add_claimed(counts: dict[str, int], result: object) -> None:
    counts["claimed"] += result is not None


def _watch(component: Any, name: str, tell: Callable[[object], None]) -> None:
    """Have `tell` called with what each call of the method returns."""
    original: type[Component] = type(component)

    def look_up(self: Component, attribute: str) -> Any:
        value = original.__getattribute__(self, attribute)
        if attribute != name:
            return value

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            tell(result)
            return result

        return counted

    # By its class: a plugin may make its methods when it opens, or have them from a property.
    namespace = {"__slots__": (), "__getattribute__": look_up}
    component.__class__ = type(original.__name__, (original,), namespace)
