"""All pairs of the installed plugins, each in some whole pipeline."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Literal

import attrs
import pytest

from coldpress.registry import Registry
from coldpress.testing.axes import ROLES, Axes
from coldpress.testing.combination import Combination
from coldpress.testing.covering import Covering, Pair, Row, all_pairs, covering, pairs

_FRAMES = 3  # of a failure's traceback: who called, who failed, and what it had called
_ENTRY_TYPE = ROLES.index("entry_type")


@attrs.frozen
class Trial:
    """What became of a combination.

    `why` is empty if it passed; `calls` is how often each part was called, `claimed` how many
    pages the entry type took; nothing of it is known of one that failed.
    """

    row: Row
    outcome: Literal["passed", "failed"]
    why: str
    seconds: float
    calls: dict[str, int]

    @property
    def pairs(self) -> list[Pair]:
        """The pairs that have proved to work together."""
        if self.outcome == "failed":
            return []
        met = pairs(self.row)
        if self.calls["claimed"]:
            return met
        return [pair for pair in met if _ENTRY_TYPE not in (pair[0][0], pair[1][0])]


@attrs.define
class Matrix:
    """The combinations to be tried, and those that were.

    Attributes: `plan`, its rows and refused pairs; `trials`, in the order of the rows.
    """

    axes: Axes
    registry: Registry
    plan: Covering = attrs.field(init=False)
    trials: list[Trial] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        values = [list(values) for values in self.axes.values.values()]
        self.plan = covering(values, lambda row: self._combination(row).refusal())

    def run(self, tell: Callable[[Trial], None], stop: Callable[[], bool]) -> None:
        """Try every row, until `stop` says to end; `tell` hears of each at once."""
        for row in self.plan.rows:
            if stop():
                return
            self.trials.append(self._try(row))
            tell(self.trials[-1])

    @property
    def ok(self) -> bool:
        """Whether every row was tried, there are some, and none failed."""
        done = len(self.trials) == len(self.plan.rows)
        return done and bool(self.trials) and not self.failed

    @property
    def failed(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.outcome == "failed"]

    @property
    def all_pairs(self) -> list[Pair]:
        """Every pair that the axes have, impossible ones too."""
        return all_pairs([list(values) for values in self.axes.values.values()])

    @property
    def proved(self) -> set[Pair]:
        """The pairs that worked together."""
        return {pair for trial in self.trials for pair in trial.pairs}

    @property
    def idle(self) -> list[str]:
        """The entry types that took none of the pages in any row."""
        took = {trial.row[_ENTRY_TYPE] for trial in self.trials if trial.calls.get("claimed")}
        passed = {trial.row[_ENTRY_TYPE] for trial in self.trials if trial.outcome == "passed"}
        return sorted(passed - took)

    def _combination(self, row: Row) -> Combination:
        return Combination(partial(self.axes.tables, row), self.registry)

    def _try(self, row: Row) -> Trial:
        began = time.monotonic()
        calls: dict[str, int] = {}
        why = ""
        try:
            calls = self._combination(row).run()
        # A plugin may raise anything, and what pytest raises is no Exception.
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            why = "".join(traceback.format_exception(error, limit=-_FRAMES)).strip()
        return Trial(row, "failed" if why else "passed", why, time.monotonic() - began, calls)
