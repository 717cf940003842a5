"""The plugins that the pages tell of: those that coldpress itself brings."""

from __future__ import annotations

import functools

from coldpress.registry import PluginInfo, Registry
from coldpress.selection import Selection


def builtins(role: str) -> list[PluginInfo]:
    """The built-in plugins of a role, by name."""
    return _registry().plugins(role)


@functools.cache
def _registry() -> Registry:
    # Whatever else is installed where the site is built is not coldpress's to document.
    return Registry.load(Selection(only=()))
