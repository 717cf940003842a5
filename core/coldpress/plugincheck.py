"""Whether a class can be a plugin of its role."""

from __future__ import annotations

import re
from typing import Any

import attrs

from coldpress.component import options
from coldpress.roles import ROLES
from coldpress.values import default, structure, type_name, written

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a plugin can be called."""

_UNDECORATED = type(attrs.field())  # what `option` leaves in a class that attrs never saw


def problem(role: str, component: object) -> str | None:
    """Why this can not be a plugin of the role; None if it can."""
    base = ROLES[role]
    if not (isinstance(component, type) and issubclass(component, base)):
        return f"it is no subclass of coldpress.{base.__name__}"
    name = getattr(component, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"its name is {name!r}, not a word of letters, digits, '.', '_' and '-'"
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    if missing:
        return f"it does not implement {', '.join(missing)}"
    for cls in component.__mro__:
        if any(isinstance(value, _UNDECORATED) for value in vars(cls).values()):
            it = "it" if cls is component else f"its base {cls.__qualname__}"
            return f"{it} has options, but is not decorated with attrs.define"
    try:
        fields = options(component)
    except Exception as error:  # an annotation that means nothing
        return brief(error)
    for field in fields:
        try:
            wrong = _field_problem(role, field)
        except Exception as error:
            wrong = f"option {field.name!r}: {brief(error)}"
        if wrong:
            return wrong
    return None


def brief(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _field_problem(role: str, field: attrs.Attribute[Any]) -> str | None:
    type_name(field.type)
    if field.name == "use" or field.name != field.alias:
        return f"an option can not be called {field.name!r}"
    value = default(field)
    if value is not attrs.NOTHING:
        structure(written(value, field.type), field.type)  # as a file would give it
    elif role == "entry_type":
        return f"option {field.name!r} of an entry type needs a default"
    return None
