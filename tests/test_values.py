from __future__ import annotations

import datetime
import re
import types
from typing import Any, Literal

import attrs
import pytest

import coldpress
from coldpress.units import Percent, Size
from coldpress.values import default, describe, structure, type_name, unit, written, written_text

Promote = Literal["never", "first", "second"]


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (0.5, float, 0.5),
        (True, bool, True),
        ("x", str, "x"),
        ("4KiB", Size, 4096),
        (4096, Size, 4096),
        ("95%", Percent, 0.95),
        ("first", Promote, "first"),
        (["a", "b"], tuple[str, ...], ("a", "b")),
        (None, int | None, None),
        (3, int | None, 3),
        ("1MiB", Size | None, 1 << 20),
    ],
)
def test_a_value_of_the_right_kind_is_taken(value: object, kind: Any, result: object) -> None:
    found = structure(value, kind)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, int, "expected an integer, got true"),
        (1.0, int, "expected an integer, got 1.0"),
        ("1", int, "expected an integer, got '1'"),
        (2**63, int, "expected an integer, got an integer of more than 64 bits"),
        (1, bool, "expected true or false, got 1"),
        ("true", bool, "expected true or false, got 'true'"),
        (False, float, "expected a number, got false"),
        (float("nan"), float, "expected a number of a sensible size, got nan"),
        (10**400, float, "expected a number of a sensible size, got an integer of more"),
        (5, str, "expected a string, got 5"),
        ({}, str, "expected a string, got a table"),
        (datetime.date(2024, 3, 1), str, "expected a string, got 2024-03-01"),
        ("secnd", Promote, """expected "never", "first" or "second", got 'secnd'"""),
        (["never"], Promote, "got an array"),
        ("zswap", tuple[str, ...], "expected an array of strings, got 'zswap'"),
        (["a", 1], tuple[str, ...], "expected an array of strings, got an array"),
        (True, Size, 'expected a size such as "64KiB", got True'),
        (1 << 63, Size, "is more bytes than any system can address"),
        pytest.param(  # more digits than Python is willing to print
            int("f" * 9999, 16), int, "got an integer of more than 64 bits", id="huge"
        ),
        (0.95, Percent, 'expected a percentage such as "95%", got 0.95'),
        ("x", int | None, "expected an integer, got 'x'"),
        ("x" * 100, int, f"expected an integer, got '{'x' * 56}..."),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(value: object, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        structure(value, kind)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (int, "integer"),
        (Size | None, "size or none"),
        (Promote, '"never", "first" or "second"'),
        (Literal["only"], '"only"'),
    ],
)
def test_types_have_the_names_that_users_of_toml_know(kind: Any, name: str) -> None:
    assert type_name(kind) == name


@pytest.mark.parametrize(
    "kind", [None, list[int], bytes, Literal[1, 2], int | str, int | str | None, {}, Any]
)
def test_a_type_that_no_file_can_give_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="no type that a pipeline file can give"):
        type_name(kind)


@pytest.mark.parametrize(
    ("value", "kind", "plain", "text"),
    [
        (64 << 20, Size, "64MiB", "64MiB"),
        (None, Size | None, None, "none"),
        (0.9, Percent, "90%", "90%"),
        (0.125, Percent, "12.5%", "12.5%"),
        (True, bool, True, "true"),
        (("a", "b"), tuple[str, ...], ["a", "b"], "a,b"),
        (3, int | None, 3, "3"),
    ],
)
def test_a_value_is_written_as_a_file_would_have_it(
    value: object, kind: Any, plain: object, text: str
) -> None:
    assert written(value, kind) == plain
    assert written_text(value, kind) == text


def test_the_default_of_a_field() -> None:
    @attrs.define
    class Fields:
        required: int = coldpress.option(help="")
        given: int = coldpress.option(default=3, help="")
        made: str = coldpress.option(default=attrs.Factory(lambda: "new"), help="")

    required, given, made = attrs.fields(Fields)
    assert (default(required), default(given), default(made)) == (attrs.NOTHING, 3, "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [({}, "a table"), (types.MappingProxyType({}), "a table"), ((), "an array"), (None, "none")],
)
def test_describe(value: object, text: str) -> None:
    assert describe(value) == text


def test_a_type_has_a_unit_if_it_counts_something() -> None:
    assert unit(Size) == unit(Size | None) == 'bytes, written like "64KiB"'
    assert unit(Percent) == 'percent, written like "95%"'
    assert unit(int) is unit(str | None) is unit(tuple[str, ...]) is unit(Promote) is None
