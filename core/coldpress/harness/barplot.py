"""Bar plots as inline SVG: no script, nothing to fetch, every number in words beside its bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import attrs

COLOURS = 8
"""The style sheet has so many: `.bar0` to `.bar7`, taken in turns."""

_WIDTH = 560
_LABELS = 150  # on the left; names that are longer are cut, their bar's title is whole
_VALUES = 100  # on the right
_LONGEST = _WIDTH - _LABELS - _VALUES
_LINE = 22
_BAR = 15
_HEAD = 26  # above each group
_CHARACTERS = 16


@attrs.frozen
class Bar:
    """One bar: `colour` is a number, bars of one colour belong together."""

    label: str
    value: float
    colour: int


@attrs.frozen
class Plot:
    """Groups of horizontal bars on one linear scale from 0; `shown` writes a value in words."""

    title: str
    groups: Sequence[tuple[str, Sequence[Bar]]]
    shown: Callable[[float], str]


def svg(plot: Plot, name: str) -> str:
    """The plot as an SVG element; `name` is unique in its page."""
    highest = max((bar.value for _, bars in plot.groups for bar in bars), default=0) or 1
    parts = []
    y = 0
    for group, bars in plot.groups:
        parts.append(f'<text class="group" x="0" y="{y + 17}">{escape(group)}</text>')
        y += _HEAD
        for bar in bars:
            parts.append(_bar(bar, y, bar.value / highest, f"{plot.title}, {group}", plot.shown))
            y += _LINE
    lines = "; ".join(
        f"{group}: " + ", ".join(f"{bar.label} {plot.shown(bar.value)}" for bar in bars)
        for group, bars in plot.groups
    )
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {_WIDTH} {y + 4}" '
        f'aria-labelledby="{name}-title {name}-text">\n'
        f'<title id="{name}-title">{escape(plot.title)}</title>\n'
        f'<desc id="{name}-text">{escape(lines)}</desc>\n'
        f'<line class="axis" x1="{_LABELS}" y1="{_HEAD - 4}" x2="{_LABELS}" y2="{y}"/>\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _bar(bar: Bar, y: int, share: float, where: str, shown: Callable[[float], str]) -> str:
    width = max(share * _LONGEST, 1.0)  # nothing at all is seen to be there too
    label = bar.label if len(bar.label) <= _CHARACTERS else f"{bar.label[: _CHARACTERS - 1]}…"
    value = shown(bar.value)
    title = escape(f"{where}: {bar.label} {value}")
    middle = y + _BAR - 3
    return (
        f"<g><title>{title}</title>"
        f'<text class="label" x="{_LABELS - 8}" y="{middle}">{escape(label)}</text>'
        f'<rect class="bar{bar.colour % COLOURS}" x="{_LABELS}" y="{y}" width="{width:.1f}" '
        f'height="{_BAR}" rx="2"/>'
        f'<text class="value" x="{_LABELS + width + 6:.1f}" y="{middle}">{escape(value)}</text></g>'
    )
