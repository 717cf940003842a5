"""The conformance kit: each role's class and what it checks."""

from __future__ import annotations

import inspect
import re

from coldpress import testing
from coldpress.roles import ROLES
from coldpress.testing.running import in_words
from refpages.markdown import documented, paragraphs


def kit() -> str:
    """Each role's conformance class, with its checks."""
    return paragraphs(*(_role(role) for role in ROLES))


def kit_link(role: str) -> str:
    """A sentence for the role's page that leads to its conformance class."""
    name = testing.KITS[role]
    return f"Proved by [`coldpress.testing.{name}`](../kit.md#coldpress.testing.{name})."


def checks(role: str) -> list[str]:
    """The names of the role's checks, in the order in which they run."""
    kit_class = getattr(testing, testing.KITS[role])
    found: dict[str, None] = {}
    for cls in reversed(kit_class.__mro__):
        found |= dict.fromkeys(name for name in vars(cls) if name.startswith("test_"))
    return list(found)


def _role(role: str) -> str:
    name = testing.KITS[role]
    return paragraphs(
        documented(f"coldpress.testing.{name}", 3, show_root_full_path=False, members=False),
        *(documented(path, 4, show_root_full_path=False) for path in _to_override(role)),
        f"#### What it checks {{#checks-{role}}}",
        "\n".join(f"- {in_words(check)}" for check in checks(role)),
    )


def _to_override(role: str) -> list[str]:
    """The methods that the class's docstring names, each where it is defined."""
    kit_class = getattr(testing, testing.KITS[role])
    named = dict.fromkeys(re.findall(r"`(\w+)`", kit_class.__doc__))
    owners = [next((cls for cls in kit_class.__mro__ if name in vars(cls)), None) for name in named]
    return [
        f"{cls.__module__}.{cls.__qualname__}.{name}"
        for name, cls in zip(named, owners, strict=True)
        if cls is not None and inspect.isfunction(vars(cls)[name])
    ]
