"""Which plugins are installed: found through the entry-point group `coldpress`, checked, named."""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import re
from collections.abc import Iterable

import attrs
import pluggy

from coldpress import hookspecs
from coldpress.component import Component, options
from coldpress.errors import PluginError
from coldpress.roles import ROLES
from coldpress.values import default, describe, type_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNDECORATED = type(attrs.field())  # what `option` leaves in a class that attrs never saw


@attrs.frozen
class PluginInfo:
    """One plugin class, its name in its role, and the distribution that brought it."""

    role: str
    name: str
    component: type[Component]
    distribution: str
    version: str

    @property
    def qualified(self) -> str:
        """The name that tells it from a plugin of the same name: "distribution:name"."""
        return f"{self.distribution}:{self.name}"


class Registry:
    """The plugins that can be used, and what was wrong with those that can not.

    Parameters: `plugins`, one (plugin object, distribution name, version) each; the object is what
    an entry point leads to, mostly a module.

    Attributes: `warnings`, a text for each thing that was left out, naming distribution, version,
    entry point and cause.

    Notes: once made it does not change, and any number of threads may ask it.
    """

    def __init__(self, plugins: Iterable[tuple[object, str, str]] = ()) -> None:
        self.warnings: list[str] = []
        self._plugins: list[PluginInfo] = []
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        for plugin, distribution, version in plugins:
            entry = getattr(plugin, "__name__", type(plugin).__name__)
            self._add(plugin, _Source(entry, distribution, version))

    @classmethod
    def load(cls) -> Registry:
        """All plugins that are installed. A broken one becomes a warning, and the rest works."""
        registry = cls()
        for entry in importlib.metadata.entry_points(group=hookspecs.GROUP):
            name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
            source = _Source(entry.name, name, version)
            try:
                plugin = entry.load()
            except (Exception, SystemExit) as error:
                registry._warn(source, f"can not be imported: {_text(error)}")
            else:
                registry._add(plugin, source)
        return registry

    def plugins(self, role: str | None = None) -> list[PluginInfo]:
        """The plugins of one role, or of all, by role and name."""
        roles = list(ROLES)
        return sorted(
            (one for one in self._plugins if role in (None, one.role)),
            key=lambda one: (roles.index(one.role), one.name, one.distribution),
        )

    def find(self, role: str, name: str) -> type[Component]:
        """The class called `name`, or "distribution:name", in this role.

        Raises `PluginError` if there is none, or if a plain name stands for more than one.
        """
        installed = self.plugins(role)
        distribution, colon, plain = name.rpartition(":")
        found = [
            one
            for one in installed
            if one.name == plain
            and (not colon or _normal(one.distribution) == _normal(distribution))
        ]
        if len(found) == 1:
            return found[0].component
        kind = role.replace("_", " ")
        if found:
            which = ", ".join(f"{one.qualified} (version {one.version})" for one in found)
            raise PluginError(
                f"{kind} {name!r} is ambiguous: {which}; "
                f'use = "{found[0].qualified}" picks the first of them'
            )
        names = sorted({one.name for one in installed})
        choices = f"installed: {', '.join(names)}" if names else f"no {kind} is installed"
        hint = did_you_mean(name, [*names, *(one.qualified for one in installed)])
        broken = "; `coldpress plugins` tells which plugins are broken" if self.warnings else ""
        raise PluginError(f"unknown {kind} {name!r};{hint and hint + '?'} {choices}{broken}")

    def _add(self, plugin: object, source: _Source) -> None:
        try:
            self._manager.register(plugin, f"{source.distribution}:{source.entry}")
        except Exception as error:
            self._warn(source, f"left out: {_text(error)}")
            return
        hooks = self._manager.get_hookcallers(plugin)
        if not hooks:
            self._warn(source, "implements no hook: is @coldpress.hookimpl missing?")
            return
        for hook in hooks:
            role = next((role for role, name in hookspecs.HOOKS.items() if name == hook.name), None)
            if role is None:
                hint = did_you_mean(hook.name, hookspecs.HOOKS.values())
                self._warn(source, f"implements an unknown hook {hook.name!r}{hint and ';' + hint}")
                continue
            for implementation in hook.get_hookimpls():
                if implementation.plugin is plugin:
                    self._call(role, implementation, source)

    def _call(self, role: str, implementation: pluggy.HookImpl, source: _Source) -> None:
        # Not through pluggy's own call: there one plugin's error would end the hook for all.
        hook = hookspecs.HOOKS[role]
        try:
            classes = implementation.function()
        except (Exception, SystemExit) as error:
            self._warn(source, f"{hook} failed: {_text(error)}")
            return
        if not isinstance(classes, list | tuple):
            self._warn(source, f"{hook} returned {describe(classes)}, not a list of classes")
            return
        for component in classes:
            problem = _problem(role, component) or self._taken(role, component, source)
            if problem:
                what = getattr(component, "__qualname__", None) or describe(component)
                self._warn(source, f"{hook} returned {what}, which is left out: {problem}")
                continue
            self._plugins.append(
                PluginInfo(role, component.name, component, source.distribution, source.version)
            )

    def _taken(self, role: str, component: type[Component], source: _Source) -> str | None:
        key = (role, component.name, source.distribution)
        if any(key == (one.role, one.name, one.distribution) for one in self._plugins):
            return f"this distribution already has a {role.replace('_', ' ')} {component.name!r}"
        return None

    def _warn(self, source: _Source, cause: str) -> None:
        self.warnings.append(
            f"plugin {source.entry!r} of {source.distribution} {source.version}: {cause}"
        )


@functools.cache
def default_registry() -> Registry:
    """The installed plugins, looked up once in a process."""
    return Registry.load()


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The hint " did you mean 'x'" if one of the choices is close to `word`; else ""."""
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" did you mean {close[0]!r}" if close else ""


@attrs.frozen
class _Source:
    entry: str
    distribution: str
    version: str


def _problem(role: str, component: object) -> str | None:
    """Why this can not be a plugin of the role; None if it can."""
    base = ROLES[role]
    if not (isinstance(component, type) and issubclass(component, base)):
        return f"it is no subclass of coldpress.{base.__name__}"
    name = getattr(component, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"its name is {name!r}, not a word of letters, digits, '.', '_' and '-'"
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    if missing:
        return f"it does not implement {', '.join(missing)}"
    if any(isinstance(value, _UNDECORATED) for value in vars(component).values()):
        return "it has options, but is not decorated with attrs.define"
    try:
        for field in options(component):
            type_name(field.type)
            if field.name == "use" or field.name != field.alias:
                return f"an option can not be called {field.name!r}"
            if default(field) is attrs.NOTHING and role == "entry_type":
                return f"option {field.name!r} of an entry type needs a default"
    except Exception as error:
        return _text(error)
    return None


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
