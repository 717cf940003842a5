"""Covering arrays of strength two: few rows in which every two values of two axes meet.

Most faults that a combination has come from two of its parts (Kuhn, Wallace, Gallo: Software fault
interactions and implications for software testing, 2004), so all pairs are tried, and not the whole
product. The rows are found greedily, as AETG does it (Cohen, Dalal, Fredman, Patton: The AETG
system, 1997), but without chance: the same axes always give the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, islice, product

import attrs

Row = tuple[str, ...]
"""One value of each axis, in the order of the axes."""

Pair = tuple[tuple[int, str], tuple[int, str]]
"""Two axes' numbers, the smaller first, and a value of each."""

_SEEDS = 30  # of how many rows the best is taken
_TRIES = 100  # rows with a pair in them before the pair itself is held to be impossible


@attrs.frozen
class Covering:
    """The rows, and of each pair that no possible row was found for what one was refused for."""

    rows: list[Row]
    refused: dict[Pair, str]


def pairs(row: Row) -> list[Pair]:
    """All pairs that meet in a row."""
    return list(combinations(enumerate(row), 2))


def all_pairs(axes: Sequence[Sequence[str]]) -> list[Pair]:
    """Every pair of values of two axes."""
    values = [[(number, value) for value in axis] for number, axis in enumerate(axes)]
    return [pair for one, other in combinations(values, 2) for pair in product(one, other)]


def covering(
    axes: Sequence[Sequence[str]], refusal: Callable[[Row], str | None] = lambda row: None
) -> Covering:
    """Rows in which each pair of values meets that can meet.

    Parameters: `axes`, two or more, the values of each all different; `refusal` says why a row is
    not possible, or None; it is asked once for a row.
    """
    return _Search(axes, refusal).run()


class _Search:
    def __init__(self, axes: Sequence[Sequence[str]], refusal: Callable[[Row], str | None]) -> None:
        self.axes = axes
        self.todo = dict.fromkeys(all_pairs(axes))  # a set that keeps its order
        self._refusal = refusal
        self._known: dict[Row, str | None] = {}
        self._used: Counter[tuple[int, str]] = Counter()
        # The longest axes first: their pairs are the most, and the last ones take what is left.
        self._order = sorted(range(len(axes)), key=lambda number: -len(axes[number]))

    def run(self) -> Covering:
        found = Covering([], {})
        while self.todo:
            seed = next(iter(self.todo))
            row = self._best() or self._any_with(seed)
            if row is None:
                found.refused[seed] = self._why_not(seed)
                del self.todo[seed]
                continue
            found.rows.append(row)
            self._used.update(enumerate(row))
            for pair in pairs(row):
                self.todo.pop(pair, None)
        return found

    def _best(self) -> Row | None:
        """Of the rows grown from the first pairs that are missing, the possible one of most use."""
        grown = dict.fromkeys(self._grow(seed) for seed in islice(self.todo, _SEEDS))
        by_use = sorted(grown, key=lambda row: -sum(pair in self.todo for pair in pairs(row)))
        return next((row for row in by_use if self._ask(row) is None), None)

    def _grow(self, seed: Pair) -> Row:
        """A row with this pair.

        Each other axis takes what meets most values for the first time, or else what was seldom.
        """
        taken = dict(seed)
        for number in self._order:
            if number not in taken:
                taken[number] = max(
                    self.axes[number],
                    key=lambda value: (
                        self._meets((number, value), taken),
                        -self._used[number, value],
                    ),
                )
        return tuple(taken[number] for number in range(len(self.axes)))

    def _meets(self, mine: tuple[int, str], taken: dict[int, str]) -> int:
        return sum(
            ((mine, other) if mine < other else (other, mine)) in self.todo
            for other in taken.items()
        )

    def _with(self, pair: Pair) -> islice[Row]:
        taken = dict(pair)
        free = ([taken[n]] if n in taken else axis for n, axis in enumerate(self.axes))
        return islice(product(*free), _TRIES)

    def _any_with(self, pair: Pair) -> Row | None:
        return next((row for row in self._with(pair) if self._ask(row) is None), None)

    def _why_not(self, pair: Pair) -> str:
        return next(why for row in self._with(pair) if (why := self._ask(row)))

    def _ask(self, row: Row) -> str | None:
        if row not in self._known:
            self._known[row] = self._refusal(row)
        return self._known[row]
