"""A single config value: from what a TOML file can hold to its annotated type, and back to text."""

from __future__ import annotations

import datetime
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import cattrs

from coldpress.names import shortened
from coldpress.units import Percent, Size, format_size, parse_percent, parse_size

_NAMES: dict[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Size: "size",
    Percent: "percentage",
    tuple[str, ...]: "array of strings",
}
_UNITS: dict[Any, str] = {
    Size: 'bytes, written like "64KiB"',
    Percent: 'percent, written like "95%"',
}
_FACTORY: Any = attrs.Factory  # a class, though its stub says a function
_LARGEST = 2**63 - 1  # TOML promises 64-bit integers; no device and no table is larger


def structure(value: object, kind: Any) -> Any:
    """`value`, as TOML gives it, as an instance of the annotated type `kind`.

    Strict: a boolean is no integer, an integer no string; an integer is a number. Raises
    `ValueError` that says what was expected and what was there.
    """
    return _CONVERTER.structure(value, kind)


def type_name(kind: Any) -> str:
    """The type in the words of a pipeline file: "integer", "size", '"never" or "first"'.

    Raises `TypeError` for a type that no pipeline file can give.
    """
    if is_optional(kind):
        return f"{type_name(without_none(kind))} or none"
    if is_literal(kind) and all(isinstance(choice, str) for choice in get_args(kind)):
        *others, last = (f'"{choice}"' for choice in get_args(kind))
        return f"{', '.join(others)} or {last}" if others else last
    try:
        return _NAMES[kind]
    except (KeyError, TypeError):
        raise TypeError(f"{kind!r} is no type that a pipeline file can give") from None


def unit(kind: Any) -> str | None:
    """What a value of this type is counted in, and how it is written; None for a plain value."""
    return _UNITS.get(without_none(kind))


def written(value: Any, kind: Any) -> Any:
    """`value` as it would stand in a pipeline file or in JSON: "64MiB", "95%", 3, true, null."""
    if is_optional(kind):
        return None if value is None else written(value, without_none(kind))
    if kind is Size:
        return format_size(value)
    if kind is Percent:
        return f"{value * 100:g}%"
    return list(value) if isinstance(value, tuple) else value


def written_text(value: Any, kind: Any) -> str:
    """The same, for people to read."""
    plain = written(value, kind)
    if isinstance(plain, list):
        return ",".join(plain)
    if plain is None or isinstance(plain, bool):
        return str(plain).lower()
    return '""' if plain == "" else str(plain)


def default(field: attrs.Attribute[Any]) -> Any:
    """The value that a field has if its key is left out; `attrs.NOTHING` if it is required."""
    value: Any = field.default
    return value.factory() if isinstance(value, _FACTORY) else value


def describe(value: object) -> str:
    """A short text for whatever was found in place of what was expected."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "an integer of more than 64 bits"  # which Python may even refuse to print
    is_time = isinstance(value, datetime.date | datetime.time)
    return shortened(str(value) if is_time else repr(value))


def is_optional(kind: Any) -> bool:
    """Whether the type is "something or none"."""
    return get_origin(kind) in (Union, types.UnionType) and (
        len(get_args(kind)) == 2 and type(None) in get_args(kind)
    )


def without_none(kind: Any) -> Any:
    """The type that is not none in an optional one; any other as it is."""
    if not is_optional(kind):
        return kind
    return next(part for part in get_args(kind) if part is not type(None))


def is_literal(kind: Any) -> bool:
    """Whether the type is a choice of texts."""
    return get_origin(kind) is Literal


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"expected {what}, got {describe(value)}")


def _boolean(value: object, kind: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def _integer(value: object, kind: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LARGEST:
        raise _expected("an integer", value)
    return value


def _number(value: object, kind: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _expected("a number", value)
    if not abs(value) <= _LARGEST:  # which nan is not, either
        raise _expected("a number of a sensible size", value)
    return float(value)


def _string(value: object, kind: Any) -> str:
    if not isinstance(value, str):
        raise _expected("a string", value)
    return value


def _strings(value: object, kind: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise _expected("an array of strings", value)
    return tuple(value)


def _choice(value: object, kind: Any) -> str:
    if not isinstance(value, str) or value not in get_args(kind):
        raise _expected(type_name(kind), value)
    return value


def _size(value: object, kind: Any) -> Size:
    size = parse_size(value)
    if size > _LARGEST:
        raise ValueError("is more bytes than any system can address")
    return size


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(Size, _size)
    converter.register_structure_hook(Percent, lambda value, _: parse_percent(value))
    converter.register_structure_hook_func(is_literal, _choice)
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _strings)
    return converter


_CONVERTER = _converter()
