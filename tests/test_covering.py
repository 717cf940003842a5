"""Rows in which every two values meet: all of them, few, always the same, and none impossible."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.testing.covering import Pair, Row, all_pairs, covering, pairs


def axes_of(*lengths: int) -> list[list[str]]:
    return [[f"{axis}.{n}" for n in range(length)] for axis, length in enumerate(lengths)]


any_axes = st.lists(st.integers(1, 5), min_size=2, max_size=6).map(lambda ns: axes_of(*ns))


@given(any_axes)
def test_every_pair_meets(axes: list[list[str]]) -> None:
    found = covering(axes)
    assert not found.refused
    for row in found.rows:
        assert all(value in axis for value, axis in zip(row, axes, strict=True))
    assert {pair for row in found.rows for pair in pairs(row)} == set(all_pairs(axes))
    assert len(set(found.rows)) == len(found.rows)
    assert found == covering(axes)


@pytest.mark.parametrize(
    "lengths", [(4, 2, 3), (4, 2, 5, 5, 3), (5, 2, 6, 5, 4, 3), (4, 4, 4, 4), (7, 7, 7), (3, 1, 1)]
)
def test_there_are_few_more_rows_than_the_two_longest_axes_need(
    lengths: tuple[int, ...],
) -> None:
    *_, one, other = sorted(lengths)
    rows = covering(axes_of(*lengths)).rows
    assert one * other <= len(rows) <= one * other * 1.15


@given(any_axes, st.data())
def test_what_is_refused_is_in_no_row_and_the_rest_of_it_still_meets(
    axes: list[list[str]], data: st.DataObject
) -> None:
    axes = axes[:4]  # so that each pair has fewer rows than are tried
    forbidden = set(data.draw(st.lists(st.sampled_from(all_pairs(axes)), max_size=4)))
    asked: Counter[Row] = Counter()

    def refusal(row: Row) -> str | None:
        asked[row] += 1
        bad = forbidden.intersection(pairs(row))
        return f"no {min(bad)}" if bad else None

    found = covering(axes, refusal)
    assert max(asked.values()) == 1
    met = {pair for row in found.rows for pair in pairs(row)}
    assert not met & forbidden
    assert met == possible_pairs(axes, forbidden)
    assert set(found.refused) == set(all_pairs(axes)) - met
    assert all(why.startswith("no ((") for why in found.refused.values())


def possible_pairs(axes: list[list[str]], forbidden: set[Pair]) -> set[Pair]:
    rows = (row for row in product(*axes) if not forbidden.intersection(pairs(row)))
    return {pair for row in rows for pair in pairs(row)}
