"""From a running pipeline's configuration and some other tables to the one it shall have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from coldpress.component import option_values
from coldpress.config.build import Builder
from coldpress.config.document import Path, mapping_document
from coldpress.config.fields import Table
from coldpress.config.rules import across, between
from coldpress.config.schema import DEFAULT_USE, PLAIN_TABLES, PipelineConfig, TopLevel
from coldpress.errors import ConfigError, Problem
from coldpress.units import format_size
from coldpress.values import describe

CHANGEABLE = ("compressor", "allocator", "policy")
"""The roles that a running pipeline may have another plugin for."""

_KEPT = (("allocator", "limit"), ("packer", "block"))
"""Keys that say how large something is that is there already."""


@attrs.frozen
class _NoKeys:
    """The schema of the top level: all that may stand there is tables."""


def change_config(
    config: PipelineConfig, changes: Mapping[str, Any], largest_folio: int
) -> PipelineConfig:
    """The configuration with the tables in `changes` in place of its own, checked as a whole.

    A table without `use` means the plugin that is there; other keys that are left out take the
    plugin's defaults, but for `limit` and `block`, which stay as they are. The components of those
    tables are new, and not open; the others are those of `config`. `largest_folio`: bytes that a
    folio's object in the pool may have. Raises `ConfigError` with all that is wrong.
    """
    if not isinstance(changes, Mapping):
        message = f"expected a mapping of tables to change, got {describe(changes)}"
        raise ConfigError([Problem("", message)])
    document = mapping_document(changes)
    builder = Builder(document, config.registry, config.names)
    report = builder.report
    fixed = {field.name for field in attrs.fields(TopLevel)} | {*DEFAULT_USE, *PLAIN_TABLES}
    fixed -= set(CHANGEABLE)
    free = {}
    for key, value in document.data.items():
        if key in fixed:
            can = f"{', '.join(CHANGEABLE[:-1])} and {CHANGEABLE[-1]}"
            report.add(f"{key!r} can not be changed on a running pipeline; {can} can", (key,))
        else:
            free[key] = value
    Table(_NoKeys, free, (), "", also=CHANGEABLE).check(report)
    for role, key in _KEPT:
        if isinstance(table := free.get(role), dict):
            table.setdefault(key, getattr(getattr(config, role), key))
    builder.values |= _present(config)
    for role in CHANGEABLE:
        if role in free:
            builder.component(role)
    for role, key in _KEPT:
        is_now = getattr(getattr(config, role), key)
        if role in free and builder.values[role].get(key, is_now) != is_now:
            report.add(
                f"{key!r} in [{role}]: can not be changed on a running pipeline, it is "
                f"{format_size(is_now)}",
                (role, key),
            )
    for paths, message in across(builder.values):
        report.add(message, *paths)
    report.raise_if_any()
    changed = attrs.evolve(config, **builder.built, names={**config.names, **builder.names})
    for path, message in [*between(changed), *_over_time(config, changed, largest_folio)]:
        report.add(message, path)
    report.raise_if_any()
    return changed


def _present(config: PipelineConfig) -> dict[str, dict[str, Any]]:
    """The values of all tables as they are."""
    tables = {name: option_values(getattr(config, name)) for name in [*DEFAULT_USE, *PLAIN_TABLES]}
    top = {field.name: getattr(config, field.name) for field in attrs.fields(TopLevel)}
    return {"": top, **tables}


def _over_time(
    old: PipelineConfig, new: PipelineConfig, largest_folio: int
) -> Iterator[tuple[Path, str]]:
    """What is wrong between the components that were there and those that come."""
    packer = new.packer
    if packer.keeps_compressed != old.packer.keeps_compressed:
        keeps, does_not = old.packer, packer
        if packer.keeps_compressed:
            keeps, does_not = packer, old.packer
        yield (
            ("packer", "use"),
            f"'use' in [packer]: {old.packer.name!r} can not be changed to {packer.name!r} on a "
            f"running pipeline: {does_not.name!r} writes each page decompressed and without a "
            f"record, so it has no folios and no cleaner, as {keeps.name!r} has",
        )
    elif packer.largest_folio(new.page_size) < largest_folio:
        yield (
            ("packer", "use"),
            f"'use' in [packer]: {packer.name!r} can not write folios of "
            f"{format_size(largest_folio)}, and the pool may hold such",
        )
