from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.units import format_size, human_size, parse_percent, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100B", 100),
        ("4KiB", 4096),
        (" 64 MiB ", 64 << 20),
        ("1.5GiB", 3 << 29),
        ("2TiB", 2 << 40),
        ("1kB", 1000),
        ("4.1kB", 4100),  # 4.1 * 1000 is 4099.999... in floating point
        ("0.000001MB", 1),
        ("3MB", 3_000_000),
        ("1GB", 10**9),
        ("1TB", 10**12),
        (65536, 65536),
    ],
)
def test_a_size_is_read(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("64QiB", "unknown unit 'QiB' in '64QiB'; known units: B, KiB"),
        ("64mib", "unknown unit 'mib'"),
        ("MiB", "expected a size"),
        ("", "expected a size"),
        ("-1KiB", "expected a size"),
        ("1.KiB", "expected a size"),
        ("1e3", "expected a size"),
        ("\u0663KiB", "expected a size"),
        ("1.1" * 1000, r"expected a size such as \"64KiB\", got '1.1.{1,60}$"),
        ("0.3B", "not a whole number of bytes"),
        ("9" * 400 + ".5B", "not a whole number of bytes"),
        (-1, "negative"),
        (True, "expected a size"),
        (1.5, "expected a size"),
        (None, "expected a size"),
    ],
)
def test_a_bad_size_is_refused(value: object, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_size(value)


@given(st.integers(0, 2**70))
def test_a_formatted_size_reads_back_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (100, "100B"), (65536, "64KiB"), (1 << 30, "1GiB"), ((1 << 20) + 1024, "1025KiB")],
)
def test_format_size_is_short_and_exact(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1_234_567, "1.2 MiB"), (3 << 40, "3.0 TiB")],
)
def test_human_size(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("text", "fraction"), [("95%", 0.95), ("0%", 0.0), (" 100 % ", 1.0), ("12.5%", 0.125)]
)
def test_a_percentage_is_read(text: str, fraction: float) -> None:
    assert parse_percent(text) == pytest.approx(fraction)


@pytest.mark.parametrize("value", ["95", "%", "-1%", "1e1%", 0.95, 95, None, True])
def test_what_is_no_percentage_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a percentage such as"):
        parse_percent(value)


def test_more_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'100.1%' is above 100%"):
        parse_percent("100.1%")
