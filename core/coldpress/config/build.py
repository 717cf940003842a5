"""From one table of a pipeline file to the component, or the values, that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from coldpress.config.document import Document
from coldpress.config.fields import Table
from coldpress.config.report import Report
from coldpress.errors import PluginError
from coldpress.registry import Registry
from coldpress.roles import ROLES
from coldpress.values import describe, structure


class Builder:
    """Checks the tables of a document and builds what is described there.

    Parameters: `usual`, for each role the plugin if its table does not say `use`. Attributes:
    `report`, what is wrong; `names`, of each role what its `use` says; `values`, of each table its
    keys, defaults included, but for those that are wrong; `built`, the tables in which nothing is
    wrong.
    """

    def __init__(self, document: Document, registry: Registry, usual: Mapping[str, str]) -> None:
        self.document = document
        self.report = Report(document)
        self.registry = registry
        self.names: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}  # "" is the top level
        self.built: dict[str, Any] = {}
        self._usual = usual

    def plain(self, name: str, schema: type) -> None:
        """The table of this name, which belongs to no plugin."""
        self._build(name, Table(schema, self.given(name), (name,), f"[{name}]"))

    def component(self, role: str) -> None:
        """The table of a role."""
        given = self.given(role)
        use = given.get("use", self._usual[role])
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

    def given(self, name: str) -> Mapping[str, Any]:
        """What the document has in this table."""
        value = self.document.data.get(name, {})
        if isinstance(value, Mapping):
            return value
        self.report.add(f"{name!r}: expected a table [{name}], got {describe(value)}", (name,))
        return {}

    def _without_leftovers(self, role: str, table: Table) -> Table:
        """The table without the keys that a replaced plugin had and the new one does not know.

        An override of `use` shall not need an edit of the file.
        """
        source = self.document.source.get(role)
        before = source.get("use", self._usual[role]) if isinstance(source, Mapping) else None
        if before is None or before == table.given.get("use", self._usual[role]):
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
