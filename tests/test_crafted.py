"""Images with any fields and right checksums, by chance: nothing comes of them but named errors."""

from __future__ import annotations

import struct
from typing import Any

import crafted
from crafted import FIELDS, HEADER, SHAPE_BITS, SUPERBLOCK, Crafted, base
from hypothesis import given, settings
from hypothesis import strategies as st
from once import on_one_python

IMAGE, _ = base()


def around(bits: int) -> st.SearchStrategy[int]:
    """Numbers of so many bits, mostly such as are next to a limit of something."""
    edges = [(1 << n) + by for n in range(bits + 1) for by in (-1, 0, 1)]
    edges = sorted({one & (1 << bits) - 1 for one in edges})
    return st.one_of(st.sampled_from(edges), st.integers(0, (1 << bits) - 1), st.integers(0, 64))


def changes() -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    numbers = st.integers(0, 15)

    def fields(table: dict[str, crafted.Field]) -> st.SearchStrategy[tuple[str, int]]:
        return st.sampled_from(sorted(table)).flatmap(
            lambda name: st.tuples(st.just(name), around(8 * struct.calcsize(table[name][1])))
        )

    shapes = st.sampled_from(sorted(SHAPE_BITS)).flatmap(
        lambda name: st.tuples(st.just(name), around(SHAPE_BITS[name][1]))
    )
    return st.one_of(
        st.tuples(numbers, fields(SUPERBLOCK)).map(lambda x: ("superblock", (x[0], *x[1]))),
        st.tuples(numbers, fields(HEADER)).map(lambda x: ("header", (x[0], *x[1]))),
        st.tuples(numbers, numbers, st.one_of(shapes, fields(FIELDS))).map(
            lambda x: ("record", (x[0], x[1], *x[2]))
        ),
        st.tuples(numbers, numbers, st.binary(max_size=64)).map(lambda x: ("object", x)),
        st.tuples(numbers, numbers).map(lambda x: ("copy", x)),
        st.tuples(st.integers(0, 1), st.binary(max_size=80)).map(lambda x: ("superblock_ids", x)),
        st.tuples(st.integers(0, len(IMAGE) - 1), around(8)).map(lambda x: ("byte", x)),
    )


@on_one_python
@settings(max_examples=80)
@given(st.lists(changes(), min_size=1, max_size=6))
def test_any_image_gives_named_errors_and_keeps_what_is_stored(
    made: list[tuple[str, tuple[Any, ...]]],
) -> None:
    one = Crafted(IMAGE)
    for name, arguments in made:
        getattr(one, name)(*arguments)
    crafted.tried(one.sealed())
