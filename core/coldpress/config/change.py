"""From a running pipeline's configuration and some other tables to the one it shall have."""

from __future__ import annotations

from collections import defaultdict
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
from coldpress.folio import folio_limit
from coldpress.layout import seal_bytes
from coldpress.units import format_size
from coldpress.values import describe

CHANGEABLE = ("compressor", "allocator", "policy", "packer")
"""The roles that a running pipeline may have another plugin for."""

_KEPT = (("allocator", "limit"), ("packer", "block"))
"""Keys that say how large something is that is there already."""


_CAN = f"{', '.join(CHANGEABLE[:-1])} and {CHANGEABLE[-1]} can"
_INSTEAD = defaultdict(lambda: _CAN, device="add_device and drain_device give it another")


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
            report.add(f"{key!r} can not be changed on a running pipeline; {_INSTEAD[key]}", (key,))
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
    for path, message in [*between(changed), *_over_time(config, changed, free, largest_folio)]:
        report.add(message, path)
    report.raise_if_any()
    return changed


def _present(config: PipelineConfig) -> dict[str, dict[str, Any]]:
    """The values of all tables as they are."""
    tables = {name: option_values(getattr(config, name)) for name in [*DEFAULT_USE, *PLAIN_TABLES]}
    top = {field.name: getattr(config, field.name) for field in attrs.fields(TopLevel)}
    return {"": top, **tables}


def _over_time(
    old: PipelineConfig, new: PipelineConfig, changes: Mapping[str, Any], largest_folio: int
) -> Iterator[tuple[Path, str]]:
    """What is wrong between the components that were there and those that come."""
    if "packer" not in changes:
        return
    for one in (old.packer, new.packer):
        if not one.keeps_compressed:
            yield (
                ("packer", "use"),
                f"'use' in [packer]: {one.name!r} can not come into a running pipeline, nor go: it "
                "writes pages decompressed and without records, so with it there are no folios and "
                "no cleaner",
            )
            return
    now = folio_limit(new.packer, new.page_size, seal_bytes(new.device.encrypt))
    if now < largest_folio:
        yield (
            ("packer", "use"),
            f"'use' in [packer]: {new.packer.name!r} can not write folios of "
            f"{format_size(largest_folio)}, and the pool may hold such",
        )
