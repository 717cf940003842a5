"""The axes of the matrix: the installed plugins of each role that can be combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from coldpress.component import options
from coldpress.config.entries import claims_pages
from coldpress.config.schema import DEFAULT_USE, TopLevel
from coldpress.errors import PluginError
from coldpress.names import did_you_mean
from coldpress.registry import PluginInfo, Registry
from coldpress.roles import EntryType
from coldpress.testing.covering import Row
from coldpress.testing.kit import options_in

ROLES = (*DEFAULT_USE, "entry_type")
"""The roles that a combination has one plugin of, in the order of its values."""

_DEFAULT_ENTRIES = cast("tuple[str, ...]", attrs.fields(TopLevel).entries.default)


@attrs.frozen
class LeftOut:
    """A plugin that no combination has, and why."""

    role: str
    name: str
    why: str


@attrs.frozen
class Axes:
    """What can be combined.

    `values` maps a role to its plugins, by what a pipeline file's `use` calls them; `left_out` are
    those that can not be had without options that were not given; `options` are those given, by
    role and key.
    """

    values: dict[str, dict[str, PluginInfo]]
    left_out: list[LeftOut]
    options: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls,
        registry: Registry,
        chosen: Mapping[str, Sequence[str]],
        given: Mapping[str, Mapping[str, Any]],
    ) -> Axes:
        """All plugins of each role, or those `chosen` for it, with the options `given`.

        Raises `PluginError` for a name or an option that there is none of, and if a chosen plugin,
        or a whole role, must be left out.
        """
        axes = cls({}, [], given)
        for role in ROLES:
            known = {_use(registry, one): one for one in registry.plugins(role) if _combines(one)}
            axes.values[role] = dict(_choose(registry, role, known, chosen.get(role)))
        for role, keys in given.items():
            axes._check_options(role, keys)
        for role, values in axes.values.items():
            for use, plugin in list(values.items()):
                if missing := _missing(plugin, given.get(role, {})):
                    options_ = " ".join(f"--set {role}.{key}=VALUE" for key in missing)
                    axes.left_out.append(LeftOut(role, use, f"needs {options_}"))
                    del values[use]
                    if use in chosen.get(role, ()):
                        raise PluginError(f"{role} {use!r} needs {options_}")
            if not values:
                raise PluginError(f"there is no {role.replace('_', ' ')} to combine")
        return axes

    def tables(self, row: Row, scratch: Path) -> dict[str, Any]:
        """What a pipeline file says to have this combination, with its files in this folder."""
        made: dict[str, Any] = {}
        for role, use in zip(ROLES, row, strict=True):
            component = self.values[role][use].component
            known = [one.name for one in options(component)]
            given = self.options.get(role, {})
            mine = {key: value for key, value in given.items() if key in known}
            if role == "entry_type":
                made["entries"] = entries_with(use)
            else:
                made[role] = {"use": use, **options_in(scratch, component, mine)}
        return made

    def _check_options(self, role: str, keys: Mapping[str, Any]) -> None:
        if role not in DEFAULT_USE:
            hint = did_you_mean(role, DEFAULT_USE) or f" roles: {', '.join(DEFAULT_USE)}"
            raise PluginError(f"--set {role}: no role that has options here;{hint}")
        known = {
            option.name: None
            for plugin in self.values[role].values()
            for option in options(plugin.component)
        }
        for key in keys:
            if key not in known:
                hint = did_you_mean(key, known) or f" known: {', '.join(known)}"
                raise PluginError(f"--set {role}.{key}: no {role} that takes part has it;{hint}")


def entries_with(name: str) -> list[str]:
    """A pipeline's `entries` with this type as the first.

    It stands in front of the default ones; one of these drops those that would come before it.
    """
    default = list(_DEFAULT_ENTRIES)
    return default[default.index(name) :] if name in default else [name, *default]


def _combines(plugin: PluginInfo) -> bool:
    if plugin.role != "entry_type":
        return True
    component = cast("type[EntryType]", plugin.component)
    # With the default type that takes what is left as the first, nothing would be compressed.
    last_resort = component.takes_all and plugin.name in _DEFAULT_ENTRIES
    return claims_pages(component) and not last_resort


def _use(registry: Registry, plugin: PluginInfo) -> str:
    same = [one for one in registry.plugins(plugin.role) if one.name == plugin.name]
    return plugin.name if len(same) == 1 else plugin.qualified


def _choose(
    registry: Registry, role: str, known: Mapping[str, PluginInfo], names: Sequence[str] | None
) -> Mapping[str, PluginInfo]:
    if names is None:
        return known
    found = {}
    for name in names:
        component = registry.find(role, name)
        mine = [use for use, plugin in known.items() if plugin.component is component]
        if not mine:
            raise PluginError(f"entry type {name!r} can not be the first of a pipeline's entries")
        found[mine[0]] = known[mine[0]]
    return found


def _missing(plugin: PluginInfo, given: Mapping[str, Any]) -> list[str]:
    known = options_in(Path(), plugin.component, given)
    return [
        option.name
        for option in options(plugin.component)
        if option.default is attrs.NOTHING and option.name not in known
    ]
