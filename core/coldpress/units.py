"""Sizes ("64MiB") and percentages ("95%") as they are written in pipeline files."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NewType

from coldpress.names import shortened

Size = NewType("Size", int)
"""A number of bytes; in a pipeline file an integer or a text such as "64KiB"."""

Percent = NewType("Percent", float)
"""A fraction from 0.0 to 1.0; in a pipeline file a text such as "95%"."""

_UNITS = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*", re.ASCII)

# For JSON Schema, so in ECMA 262's words, and to be searched for.
SIZE_PATTERN = rf"^\s*\d+(\.\d+)?\s*({'|'.join(filter(None, _UNITS))})?\s*$"
"""The texts that `parse_size` takes, and those that are no whole number of bytes besides."""

PERCENT_PATTERN = r"^\s*0*(100(\.0+)?|\d{1,2}(\.\d+)?)\s*%\s*$"
"""The texts that `parse_percent` takes."""


def parse_size(value: object) -> Size:
    """Bytes from an integer or a text with a unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB).

    Raises `ValueError` with what was expected.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"a size can not be negative: {value}")
        return Size(value)
    if not isinstance(value, str):
        raise ValueError(f'expected a size such as "64KiB", got {shortened(repr(value))}')
    match = _SIZE.fullmatch(value)
    if not match:
        raise ValueError(f'expected a size such as "64KiB", got {shortened(repr(value))}')
    number, unit = match.groups()
    if unit not in _UNITS:
        known = ", ".join(u for u in _UNITS if u)
        raise ValueError(f"unknown unit {unit!r} in {shortened(repr(value))}; known units: {known}")
    size = Fraction(number) * _UNITS[unit]  # a float would make 4.1kB no whole number
    if size != int(size):
        raise ValueError(f"{shortened(repr(value))} is not a whole number of bytes")
    return Size(int(size))


def parse_percent(value: object) -> Percent:
    """A fraction from a text such as "95%". Raises `ValueError` with what was expected."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f'expected a percentage such as "95%", got {shortened(repr(value))}')
    number = float(match.group(1))
    if number > 100:
        raise ValueError(f"{shortened(repr(value))} is above 100%")
    return Percent(number / 100)


def format_size(size: int) -> str:
    """The shortest exact text: `format_size(65536)` is "64KiB", `format_size(100)` "100B"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size}B"


def human_size(size: float) -> str:
    """A size for people to read, three digits or so: `human_size(1234567)` is "1.2 MiB"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f} {unit}"
    return f"{size:.0f} B"
