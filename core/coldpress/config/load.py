"""From a source and its overrides to a `PipelineConfig`, or to everything that is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from coldpress.config.build import Builder
from coldpress.config.entries import build_entry_types
from coldpress.config.fields import Table
from coldpress.config.rules import across, between
from coldpress.config.schema import DEFAULT_USE, PLAIN_TABLES, PipelineConfig, TopLevel
from coldpress.config.source import Source, read
from coldpress.registry import Registry, default_registry


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
    registry = registry or default_registry()
    builder = Builder(document, registry, DEFAULT_USE)
    report = builder.report
    tables = [*DEFAULT_USE, *PLAIN_TABLES]
    top = Table(TopLevel, document.data, (), "", also=tables).check(report)
    builder.values[""] = top
    for role in DEFAULT_USE:
        builder.component(role)
    for name, schema in PLAIN_TABLES.items():
        builder.plain(name, schema)
    entry_types = build_entry_types(top.get("entries", ()), registry, report)
    for paths, message in across(builder.values):
        report.add(message, *paths)
    report.raise_if_any()
    config = PipelineConfig(
        **top, **builder.built, entry_types=entry_types, names=builder.names, registry=registry
    )
    for path, message in between(config):
        report.add(message, path)
    report.raise_if_any()
    return config
