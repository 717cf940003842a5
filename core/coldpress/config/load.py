"""From a source and its overrides to a `PipelineConfig`, or to everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from coldpress.config.document import Document
from coldpress.config.entries import build_entry_types
from coldpress.config.fields import Table
from coldpress.config.report import Report
from coldpress.config.rules import across, between
from coldpress.config.schema import DEFAULT_USE, PLAIN_TABLES, PipelineConfig, TopLevel
from coldpress.config.source import Source, read
from coldpress.errors import PluginError
from coldpress.registry import Registry, default_registry
from coldpress.roles import ROLES
from coldpress.values import describe, structure


def load_config(
    source: Source = None, *, overrides: Sequence[str] = (), registry: Registry | None = None
) -> PipelineConfig:
    """Read and check a configuration, and build the components that it names.

    Parameters: `source`, a pipeline file, a mapping of the same form, or None for the embedded
    default (zstd, zsmalloc of 64 MiB, lru, bounce, an unnamed temporary file of 1 GiB);
    `overrides`, "allocator.limit=16MiB" each, laid over it; `registry`, the installed plugins if
    it is not given. Raises `ConfigError` with all that is wrong.
    """
    document = read(source)
    for text in overrides:
        document.override(text)
    return _Loader(document, registry or default_registry()).load()


class _Loader:
    def __init__(self, document: Document, registry: Registry) -> None:
        self.document = document
        self.report = Report(document)
        self.registry = registry
        self.names: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}  # of each table; "" is the top level
        self.built: dict[str, Any] = {}  # the tables in which nothing is wrong

    def load(self) -> PipelineConfig:
        tables = [*DEFAULT_USE, *PLAIN_TABLES]
        top = Table(TopLevel, self.document.data, (), "", also=tables).check(self.report)
        self.values[""] = top
        for role in DEFAULT_USE:
            self._component(role)
        for name, schema in PLAIN_TABLES.items():
            self._build(name, Table(schema, self._given(name), (name,), f"[{name}]"))
        entry_types = build_entry_types(top.get("entries", ()), self.registry, self.report)
        for paths, message in across(self.values):
            self.report.add(message, *paths)
        self.report.raise_if_any()
        config = PipelineConfig(**top, **self.built, entry_types=entry_types, names=self.names)
        for path, message in between(config):
            self.report.add(message, path)
        self.report.raise_if_any()
        return config

    def _given(self, name: str) -> Mapping[str, Any]:
        """What the document has in this table."""
        value = self.document.data.get(name, {})
        if isinstance(value, Mapping):
            return value
        self.report.add(f"{name!r}: expected a table [{name}], got {describe(value)}", (name,))
        return {}

    def _component(self, role: str) -> None:
        given = self._given(role)
        use = given.get("use", DEFAULT_USE[role])
        try:
            name = structure(use, str)
            component = self.registry.find(role, name)
        except ValueError as error:
            self.report.add(f"'use' in [{role}]: {error}", (role, "use"))
        except PluginError as error:
            self.report.add(str(error), (role, "use"))
        else:
            self.names[role] = name
            table = Table(component, given, (role,), f"[{role}] {name}", also=("use",))
            self._build(role, self._without_leftovers(role, table))
            return
        # Which keys the plugin would have is not known, but for those that every one has.
        table = Table(ROLES[role], {}, (role,), f"[{role}]")
        given = {key: value for key, value in given.items() if key in table.known}
        self.values[role] = attrs.evolve(table, given=given).check(self.report)

    def _without_leftovers(self, role: str, table: Table) -> Table:
        """The table without the keys that a replaced plugin had and the new one does not know.

        An override of `use` shall not need an edit of the file.
        """
        source = self.document.source.get(role)
        before = source.get("use", DEFAULT_USE[role]) if isinstance(source, Mapping) else None
        if before is None or before == table.given.get("use", DEFAULT_USE[role]):
            return table
        known = table.known
        kept = {
            key: value
            for key, value in table.given.items()
            if key in known or self.document.is_overridden((role, key))
        }
        return attrs.evolve(table, given=kept)

    def _build(self, name: str, table: Table) -> None:
        found = len(self.report)
        values = self.values[name] = table.check(self.report)
        if len(self.report) > found:
            return
        try:
            self.built[name] = table.schema(**values)
        except Exception as error:  # a plugin's own check of all its options
            self.report.add(f"{table.label}: {error}", table.path)
