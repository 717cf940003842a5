"""Four threads on a pipeline whose parts change all the time, and proof that they see a fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from live_stress import ALL, Changes, stress_with_changes
from stress import shape
from writes import slow_writes

from coldpress import Pipeline
from coldpress.config import load_config

SECONDS = min(5.0, float(os.environ.get("COLDPRESS_STRESS_SECONDS", "4")))
SLOTS = 4000


def test_nothing_is_wrong_or_lost_while_parts_are_changed() -> None:
    with Pipeline(load_config(shape(SLOTS))) as pipeline:
        slow_writes(pipeline, 0.001)
        kinds = sum(len(tables) for _, tables in ALL)

        def enough(changes: Changes) -> bool:
            return len(changes.done) == kinds and pipeline.stats().refaults > 1000

        report, changes = stress_with_changes(pipeline, SLOTS, SECONDS, ALL, enough)
        assert enough(changes)
        stats = pipeline.stats()
    assert not report.wrong
    assert not report.errors
    assert not changes.errors
    assert stats.pool_bytes_peak <= stats.pool_limit
    assert stats.reconfigurations == changes.done.total()


def commits_with_the_id_of_the_moment(pipeline: Pipeline) -> None:
    entry: Any = next(one for one in pipeline.config.entry_types if one.name == "zswap")

    def late(slot: int, prepared: Any) -> int:
        data, _, order = prepared
        payload: int = entry._store(slot, pipeline._codecs.current[0], order, data)
        return payload

    entry.commit = late


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", [commits_with_the_id_of_the_moment])
def test_the_stress_sees_a_planted_fault(fault: Callable[[Pipeline], None]) -> None:
    changes = [(0.001, ALL[0][1])]  # the compressor alone, as often as can be
    for _ in range(8):
        with Pipeline(load_config(shape(1000))) as pipeline:
            fault(pipeline)
            report, changed = stress_with_changes(pipeline, 1000, 1.0, changes)
        if report.wrong or report.errors or changed.errors:
            return
    pytest.fail("no thread saw anything wrong")
