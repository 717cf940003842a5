"""What a plugin class says of itself through the class variables of its role."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from typing import Any, ClassVar, get_origin, get_type_hints

import attrs

from coldpress import roles
from coldpress.component import Component


@attrs.frozen
class Capability:
    """A public class variable of a role: its value in a plugin, and what it means.

    A value that JSON has no word for is given as a text.
    """

    name: str
    value: Any
    help: str


def capabilities(component: type[Component]) -> list[Capability]:
    """The capabilities that the component's role, and its kind within the role, ask for.

    Each once, with the role's meaning, though a kind may declare it again for another default.
    """
    hints = get_type_hints(component)
    meanings: dict[str, str] = {}
    for cls in reversed(component.__mro__):
        if cls in vars(roles).values() and cls is not Component:
            for name in inspect.get_annotations(cls):
                if get_origin(hints[name]) is ClassVar and not name.startswith("_"):
                    meanings.setdefault(name, _meanings(cls).get(name, ""))
    return [
        Capability(name, _plain(getattr(component, name)), meaning)
        for name, meaning in meanings.items()
    ]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


@functools.cache
def _meanings(cls: type) -> dict[str, str]:
    """The texts below the annotated variables of a class; none if its source is not there."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, SyntaxError):
        return {}
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for variable, text in zip(definition.body, definition.body[1:], strict=False):
        match variable, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(s))
            ):
                found[name] = inspect.cleandoc(s)
    return found
