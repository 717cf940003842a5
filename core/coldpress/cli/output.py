"""Tables on standard output, for eyes on a terminal, for grep and cut in a pipe; and errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(text: str) -> None:
    """Print an error or a warning, on stderr.

    A part of it may be what somebody wrote into an image: what a terminal would obey is escaped.
    """
    plain = (one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)
    print("".join(plain), file=sys.stderr)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print the rows under their headings; in a pipe, one line each, tabs between, no headings.

    A cell may have several lines; in a pipe they are joined by ", ".
    """
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(", ".join(cell.splitlines()) for cell in row))
        return
    table = Table(box=SIMPLE)
    for column in columns:
        table.add_column(column, overflow="fold")  # never an ellipsis
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as it is: "[cache]" is no markup
    Console().print(table)


def print_grid(corner: str, columns: Sequence[str], lines: Iterable[tuple[str, list[str]]]) -> None:
    """Print lines of named cells under named columns; `corner` says what they are all about.

    In a pipe, where tables have no headings, these are the first line, and each line begins with
    `corner`.
    """
    rows = [[name, *cells] for name, cells in lines]
    if sys.stdout.isatty():
        print_table([corner, *columns], rows)
    else:
        print_table([], [[corner, *row] for row in [["pipeline", *columns], *rows]])
