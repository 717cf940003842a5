"""The entry types of a pipeline: those that `entries` names, and those that every pipeline has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from coldpress.config.document import Path
from coldpress.config.report import Report
from coldpress.errors import PluginError
from coldpress.registry import Registry
from coldpress.roles import DeviceEntryType, EntryType

ALWAYS = ("packed", "shadow", "folio")
"""The names under which every pipeline has the entry types that claim no page."""


def build_entry_types(
    names: Sequence[str], registry: Registry, report: Report
) -> tuple[EntryType, ...]:
    """Instances for `names`, in their order, then those that no page is offered to.

    A name that is unknown, stands twice or claims no pages is reported and left out.
    """
    found: list[type[EntryType]] = []

    def add(name: str, path: Path, offered: bool) -> None:
        try:
            component = cast("type[EntryType]", registry.find("entry_type", name))
        except PluginError as error:
            report.add(str(error), path)
            return
        if offered and not claims_pages(component):
            report.add(f"'entries': entry type {name!r} does not claim pages", path)
        elif component in found:
            report.add(f"'entries': entry type {name!r} stands here twice", path)
        else:
            found.append(component)

    for index, name in enumerate(names):
        add(name, ("entries", index), offered=True)
    for name in ALWAYS:
        add(name, ("entries",), offered=False)
    return tuple(component() for component in found)


def claims_pages(component: type[EntryType]) -> bool:
    """Whether `entries` may name it."""
    return not issubclass(component, DeviceEntryType) and component.prepare is not EntryType.prepare
