"""What all conformance classes have in common: the plugin under test, made as from a file."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings

from coldpress.component import Component, options, summary
from coldpress.config.fields import Table
from coldpress.config.report import Report
from coldpress.config.source import read
from coldpress.hookspecs import HOOKS, hookimpl
from coldpress.plugincheck import problem
from coldpress.registry import Registry, default_registry
from coldpress.roles import Device, Frontend

UNDER_TEST = "under-test"
"""The distribution's name by which pipelines of the kit know the plugin."""


class Kit:
    """Subclass the class of your role as `TestYours` and set `plugin`.

    Attributes:
        plugin: the class under test.
        options: its config keys, as a pipeline file would give them; what is not named has its
            default. In a text `{scratch}` stands for a folder that is empty at the beginning.
        examples: how many random histories each property is tried with.
    """

    role: ClassVar[str]
    plugin: ClassVar[type[Component]]
    options: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[int] = 30
    shrinks: ClassVar[bool] = True
    """Whether a history that fails is made as short as it can be, which takes time."""

    @pytest.fixture
    def scratch(self) -> Iterator[Path]:
        """A folder for this test alone."""
        with tempfile.TemporaryDirectory(prefix="coldpress-kit-") as folder:
            yield Path(folder)

    def given(self, scratch: Path) -> dict[str, Any]:
        """The options as a pipeline file would give them, with the folder put in."""
        return options_in(scratch, self.plugin, self.options)

    def make(self, scratch: Path = Path()) -> Any:
        """A new plugin, checked and built as from a pipeline file, not open yet."""
        return built(self.role, self.plugin, self.given(scratch))

    @classmethod
    def registry(cls) -> Registry:
        """All installed plugins, and this one as "under-test:NAME"."""
        return with_plugin(cls.role, cls.plugin)

    @property
    def use(self) -> str:
        """What a pipeline file of this registry calls it."""
        return f"{UNDER_TEST}:{self.plugin.name}"

    def settings(self, steps: int = 25) -> settings:
        """For properties and state machines, of so many steps each."""
        phases = set(Phase) - {Phase.explain} - (set() if self.shrinks else {Phase.shrink})
        return settings(
            max_examples=self.examples,
            stateful_step_count=steps,
            phases=sorted(phases, key=list(Phase).index),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )

    def test_a_pipeline_file_can_name_it(self) -> None:
        assert problem(self.role, self.plugin) is None
        assert self.registry().find(self.role, self.use) is self.plugin

    def test_it_says_what_it_is_and_what_each_option_means(self) -> None:
        assert summary(self.plugin), "the class has no docstring"
        silent = [one.name for one in options(self.plugin) if not one.metadata.get("help")]
        assert not silent, f"these options do not say what they mean: {', '.join(silent)}"


def options_in(scratch: Path, plugin: type[Component], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with `{scratch}` replaced.

    The `path` of a device or a frontend, if it is not given, is in there.
    """
    path = issubclass(plugin, Device | Frontend) and any(
        one.name == "path" for one in options(plugin)
    )
    named = {"path": "{scratch}/cold", **given} if path else given
    return {
        key: value.replace("{scratch}", str(scratch)) if isinstance(value, str) else value
        for key, value in named.items()
    }


def built(role: str, plugin: type[Component], given: Mapping[str, Any]) -> Any:
    """A plugin with these options, as a pipeline file would give them. Raises `ConfigError`."""
    report = Report(read({role: given}))
    values = Table(plugin, given, (role,), f"[{role}] {plugin.name}").check(report)
    report.raise_if_any()
    return plugin(**values)


@functools.cache
def with_plugin(role: str, component: type[Component], *, alone: bool = False) -> Registry:
    """All installed plugins and this one; `alone`: without others of its name."""
    module = ModuleType(component.__module__)

    def hook() -> list[type[Component]]:
        return [component]

    hook.__name__ = HOOKS[role]
    setattr(module, HOOKS[role], hookimpl(hook))
    installed = default_registry()
    if alone:
        installed = installed.without(role, component.name)
    return installed.extended(module, UNDER_TEST, "0")
