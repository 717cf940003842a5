"""Which plugins there are: found through the entry-point group `coldpress`, checked, named."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.metadata
import os
from collections.abc import Iterable, Iterator

import attrs
import pluggy

from coldpress import hookspecs
from coldpress.causes import Cause, Source
from coldpress.component import Component
from coldpress.errors import PluginError
from coldpress.names import did_you_mean, normal
from coldpress.plugincheck import brief, problem
from coldpress.roles import ROLES
from coldpress.selection import Selection
from coldpress.thirdparty import DISTRIBUTIONS
from coldpress.values import describe


@attrs.frozen
class PluginInfo:
    """One plugin class, its name in its role, and the distribution that brought it.

    Of a module that the command line named, `distribution` is the module's name, and `version`
    "(-p)".
    """

    role: str
    name: str
    component: type[Component]
    distribution: str
    version: str

    @property
    def qualified(self) -> str:
        """The name that tells it from a plugin of the same name: "distribution:name"."""
        return f"{self.distribution}:{self.name}"

    def is_called(self, name: str) -> bool:
        """Whether `name`, or "distribution:name" in any spelling of the distribution, means it."""
        distribution, colon, plain = name.rpartition(":")
        return self.name == plain and (
            not colon or normal(self.distribution) == normal(distribution)
        )


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
        self._causes: list[Cause] = []
        self._refused: list[str] = []
        self._plugins: list[PluginInfo] = []
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        for plugin, distribution, version in plugins:
            entry = getattr(plugin, "__name__", type(plugin).__name__)
            self._add(plugin, Source(entry, distribution, version))

    @classmethod
    def load(cls, selection: Selection | None = None) -> Registry:
        """The plugins that are selected; without `selection`, as the environment says.

        A broken one becomes a warning, and the rest works. Raises `PluginError` if a module of the
        selection can not be imported: it was asked for by name.
        """
        selection = Selection.of(os.environ) if selection is None else selection
        registry = cls()
        known = list(selection.modules)
        for entry in importlib.metadata.entry_points(group=hookspecs.GROUP):
            source = Source.of(entry)
            known += [source.entry, source.distribution]
            if refusal := selection.refuses(source.entry, source.distribution):
                registry._causes.append(Cause(source, refusal, None, None))
                registry._refused.append(f"{source.entry} of {source.distribution}")
                continue
            try:
                plugin = entry.load()
            except (Exception, SystemExit) as error:
                registry._warn(source, f"can not be imported: {brief(error)}")
            else:
                registry._add(plugin, source)
        for module in selection.wanted_modules():
            registry._import(module)
        registry.warnings += selection.unknown(known)
        return registry

    def extended(self, plugin: object, distribution: str, version: str) -> Registry:
        """A registry with one plugin object more."""
        other = Registry([(plugin, distribution, version)])
        other.warnings = [*self.warnings, *other.warnings]
        other._causes = [*self._causes, *other._causes]
        other._refused = list(self._refused)
        other._plugins = [*self._plugins, *other._plugins]
        return other

    def without(self, role: str, name: str) -> Registry:
        """A registry in which no plugin of this role has this name."""
        other = copy.copy(self)
        other._plugins = [one for one in self._plugins if (one.role, one.name) != (role, name)]
        return other

    def plugins(self, role: str | None = None) -> list[PluginInfo]:
        """The plugins of one role, or of all, by role and name."""
        roles = list(ROLES)
        return sorted(
            (one for one in self._plugins if role in (None, one.role)),
            key=lambda one: (roles.index(one.role), one.name, one.distribution),
        )

    def find(self, role: str, name: str) -> type[Component]:
        """The class called `name`, or "distribution:name", in this role.

        Raises `PluginError` if there is none, or if a plain name stands for more than one. If a
        plugin is broken or left out that may be the one, the error repeats why.
        """
        found = [one for one in self.plugins(role) if one.is_called(name)]
        if len(found) == 1:
            return found[0].component
        kind = role.replace("_", " ")
        if found:
            which = ", ".join(f"{one.qualified} (version {one.version})" for one in found)
            raise PluginError(
                f"{kind} {name!r} is ambiguous: {which}; "
                f'use = "{found[0].qualified}" picks the first of them'
            )
        installed = self.plugins(role)
        names = sorted({one.name for one in installed})
        choices = f"installed: {', '.join(names)}" if names else f"no {kind} is installed"
        close = [*names, *(one.qualified for one in installed)]
        raise PluginError(f"unknown {kind} {name!r};{self._advice(role, name, close, choices)}")

    def called(self, name: str) -> list[PluginInfo]:
        """The plugins of this name, or "distribution:name", in all roles. Raises `PluginError`."""
        if found := [one for one in self.plugins() if one.is_called(name)]:
            return found
        names = sorted({one.name for one in self._plugins})
        close = [*names, *(one.qualified for one in self._plugins), *ROLES]
        choices = f"roles: {', '.join(ROLES)}; plugins: {', '.join(names)}"
        raise PluginError(
            f"unknown role or plugin {name!r};{self._advice(None, name, close, choices)}"
        )

    def _advice(self, role: str | None, name: str, close: list[str], choices: str) -> str:
        """What to tell who asked for a name that is not there."""
        plain = name.rpartition(":")[2]
        brings = {
            distribution
            for (other, known), distribution in DISTRIBUTIONS.items()
            if known == plain and role in (None, other)
        }
        asked = [name, *(f"{distribution}:{plain}" for distribution in brings)]
        causes = [
            f"{cause.source}: {cause.text}"
            for cause in self._causes
            if any(cause.answers(role, one) for one in asked)
        ]
        if causes:
            return f" {'; '.join(causes)}; {choices}"
        hint = did_you_mean(name, close)
        refused = ", ".join(self._refused)
        refused = f"; not loaded, as was asked for: {refused}" if refused else ""
        broken = "; `coldpress plugins` tells which plugins are broken" if self.warnings else ""
        package = "".join(f"; pip install {one} brings it" for one in brings)
        return f"{hint and hint + '?'} {choices}{refused}{broken}{package}"

    def _import(self, name: str) -> None:
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise PluginError(f"-p {name}: can not be imported: {brief(error)}") from error
        if not self._manager.is_registered(module):  # it may be an entry point's module, too
            self._add(module, Source(name, name, "(-p)"))

    def _add(self, plugin: object, source: Source) -> None:
        try:
            self._manager.register(plugin, f"{source.distribution}:{source.entry}")
        except Exception as error:
            self._warn(source, f"left out: {brief(error)}")
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

    def _call(self, role: str, implementation: pluggy.HookImpl, source: Source) -> None:
        # Not through pluggy's own call: there one plugin's error would end the hook for all.
        hook = hookspecs.HOOKS[role]
        try:
            classes = implementation.function()
        except (Exception, SystemExit) as error:
            self._warn(source, f"{hook} failed: {brief(error)}", role)
            return
        if not isinstance(classes, list | tuple):
            self._warn(source, f"{hook} returned {describe(classes)}, not a list of classes", role)
            return
        for component in classes:
            if wrong := problem(role, component) or self._taken(role, component, source):
                what = getattr(component, "__qualname__", None) or describe(component)
                name = getattr(component, "name", None)
                self._warn(
                    source, f"{hook} returned {what}, which is left out: {wrong}", role, name
                )
                continue
            self._plugins.append(
                PluginInfo(role, component.name, component, source.distribution, source.version)
            )

    def _taken(self, role: str, component: type[Component], source: Source) -> str | None:
        key = (role, component.name, source.distribution)
        if any(key == (one.role, one.name, one.distribution) for one in self._plugins):
            return f"this distribution already has a {role.replace('_', ' ')} {component.name!r}"
        return None

    def _warn(
        self, source: Source, text: str, role: str | None = None, name: str | None = None
    ) -> None:
        self._causes.append(Cause(source, text, role, name))
        self.warnings.append(f"{source}: {text}")


_in_use: list[Registry] = []


@contextlib.contextmanager
def using(registry: Registry) -> Iterator[None]:
    """While it lasts, the default registry of the whole process, all threads, is this one."""
    _in_use.append(registry)
    try:
        yield
    finally:
        _in_use.pop()


def default_registry() -> Registry:
    """The plugins that the environment lets in, looked up once in a process."""
    return _in_use[-1] if _in_use else _installed()


@functools.cache
def _installed() -> Registry:
    return Registry.load()
