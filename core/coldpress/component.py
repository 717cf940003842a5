"""What every plugin class is: an attrs class with a name, whose fields are its config keys."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, cast

import attrs

Buffer = bytes | bytearray | memoryview
"""Bytes-like, contiguous; the roles take any of the three."""


@attrs.define(slots=False, eq=False, kw_only=True)
class Component(abc.ABC):
    """Base of the seven roles' classes.

    A plugin class is decorated with `@attrs.define(slots=False, eq=False, kw_only=True)`. Its
    fields, declared with `coldpress.option`, are its keys in the pipeline file; their validators
    are the file's checks; the first line of its docstring is what `coldpress plugins` prints.
    Runtime state is set in `open`, which the pipeline calls once, before anything else.
    """

    name: ClassVar[str]
    """What `use = "..."` says in a pipeline file."""


def option(
    *,
    default: Any = attrs.NOTHING,
    help: str,  # noqa: A002  (what it is called in argparse, attrs' metadata and click)
    validator: Callable[[Any, Any, Any], Any] | None = None,
) -> Any:
    """A field that is a config key.

    The annotation gives the type: int, float, bool, str, `Size`, `Percent`, a `Literal` of texts,
    or one of these `| None`.

    Parameters:
        default: the value if the key is left out, checked like any other; without one the key is
            required.
        help: what the key means, for `coldpress plugins`, editors and the documentation.
        validator: is called with the instance, the attribute and the value, and raises `ValueError`
            with what is wrong, to be told with the key's place; attrs' own validators will do.
    """
    return attrs.field(default=default, validator=validator, metadata={"help": help})


def options(component: type[Component]) -> list[attrs.Attribute[Any]]:
    """The fields of a component that are config keys, in order."""
    attrs.resolve_types(component)
    return [field for field in attrs.fields(component) if field.init]


def option_values(component: object) -> dict[str, Any]:
    """The values of a component's options, or of another table's keys, by name."""
    fields = options(cast("type[Component]", type(component)))
    return {field.name: getattr(component, field.name) for field in fields}


def summary(component: type[Component]) -> str:
    """The first line of the class's own docstring."""
    return description(component).partition("\n")[0]


def description(component: type[Component]) -> str:
    """The class's own docstring, whole."""
    return inspect.cleandoc(component.__doc__ or "")
