"""A comparison as one self-contained HTML page: plots, tables, nothing to fetch, no script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Any

from coldpress import __version__
from coldpress.harness import barplot
from coldpress.harness.barplot import Bar, Plot
from coldpress.harness.figures import Table, tables
from coldpress.harness.row import Row, percent
from coldpress.units import human_size

_PLOTS: tuple[tuple[str, Callable[[Row], float], Callable[[float], str]], ...] = (
    ("Write I/Os", lambda row: row.counters["writeback_blocks"], "{:,.0f}".format),
    ("Bytes written", lambda row: row.counters["writeback_bytes"], human_size),
    ("Refaults", lambda row: row.counters["refaults"], "{:,.0f}".format),
    ("CPU time", lambda row: row.result.cpu_seconds, "{:.2f} s".format),
)

# The policy is the proof: a browser that obeys it fetches nothing and runs nothing.
_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>coldpress compare</title>
<style>
:root {
  --paper: #ffffff; --ink: #1d2329; --soft: #5b6670; --line: #d5dbe0; --stripe: #f5f7f9;
  --c0: #4c78a8; --c1: #e07b39; --c2: #4f9d69; --c3: #b8557a;
  --c4: #8a6fb8; --c5: #9c7a4d; --c6: #3f9aa5; --c7: #7d858c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181c; --ink: #e6eaee; --soft: #9aa6b1; --line: #343c44; --stripe: #1b2026;
    --c0: #6f9fd0; --c1: #ee9558; --c2: #6cbd87; --c3: #d67a9c;
    --c4: #a991d4; --c5: #bd9a6b; --c6: #5cbac5; --c7: #a0a8af;
  }
}
body { margin: 0 auto; padding: 1.5rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
p { margin: .2rem 0; color: var(--soft); max-width: 52rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
  gap: 1.2rem 2.5rem; }
figure { margin: 0; }
figcaption { font-weight: 600; }
.plot { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
.plot text { fill: var(--ink); }
.plot .group { fill: var(--soft); font-weight: 600; }
.plot .label { text-anchor: end; }
.plot .value { font-variant-numeric: tabular-nums; }
.axis { stroke: var(--line); stroke-width: 1; }
.bar0 { fill: var(--c0); } .bar1 { fill: var(--c1); } .bar2 { fill: var(--c2); }
.bar3 { fill: var(--c3); } .bar4 { fill: var(--c4); } .bar5 { fill: var(--c5); }
.bar6 { fill: var(--c6); } .bar7 { fill: var(--c7); }
.wide { overflow-x: auto; margin-bottom: 1.4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { padding: .22rem .8rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; font-weight: 500; padding-left: .3rem; }
thead th { border-bottom-width: 2px; }
tbody tr:nth-child(even) { background: var(--stripe); }
details { margin-top: 2rem; }
summary { cursor: pointer; font-weight: 600; font-size: 1.15rem; }
</style>
</head>
<body>
"""


def webpage(rows: Sequence[Row], about: Sequence[str]) -> str:
    """The page for these rows; `about` says in sentences what was compared."""
    return "".join(
        [
            _HEAD,
            "<h1>coldpress compare</h1>\n",
            *(f"<p>{escape(text)}</p>\n" for text in about),
            "<h2>By packer and limit</h2>\n",
            '<div class="plots">\n',
            *(_figure(*one, rows, f"plot{number}") for number, one in enumerate(_PLOTS)),
            "</div>\n<h2>Side by side</h2>\n",
            *map(_table, tables(rows)),
            _counters([row.asdict() for row in rows]),
            f"<p>coldpress {escape(__version__)}</p>\n</body>\n</html>\n",
        ]
    )


def _figure(
    title: str,
    value: Callable[[Row], float],
    shown: Callable[[float], str],
    rows: Sequence[Row],
    name: str,
) -> str:
    groups = [
        (
            f"limit {percent(limit)}",
            [Bar(_label(row, rows), value(row), colour) for colour, row in enumerate(same)],
        )
        for limit, same in groupby(rows, key=lambda row: row.limit)
    ]
    drawn = barplot.svg(Plot(title, groups, shown), name)
    return f"<figure>\n<figcaption>{escape(title)}</figcaption>\n{drawn}\n</figure>\n"


def _label(row: Row, rows: Sequence[Row]) -> str:
    """The packer's name, if that is enough to tell the pipelines apart."""
    others = {one.pipeline for one in rows if one.packer == row.packer}
    return row.packer if len(others) == 1 else row.pipeline


def _table(table: Table) -> str:
    lines = [_line(name, cells) for name, cells in table.lines]
    return _grid(f"limit {table.limit} of the compressed footprint", table.pipelines, lines)


def _counters(rows: Sequence[dict[str, Any]]) -> str:
    """Everything that --json has, digit by digit."""
    names = [name for name in rows[0] if name not in ("pipeline", "limit")]
    columns = [f"{row['pipeline']} {percent(row['limit'])}" for row in rows]
    lines = [_line(name, [_exact(row[name]) for row in rows]) for name in names]
    grid = _grid("every figure, as --json gives it", columns, lines)
    return f"<details><summary>All counters</summary>\n{grid}</details>\n"


def _grid(caption: str, columns: Iterable[str], lines: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table>\n'
        f"<caption>{escape(caption)}</caption>\n"
        f'<thead><tr><th scope="col">figure</th>{heads}</tr></thead>\n<tbody>\n'
        + "".join(lines)
        + "</tbody>\n</table></div>\n"
    )


def _line(name: str, cells: Iterable[str]) -> str:
    texts = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{texts}</tr>\n'


def _exact(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
