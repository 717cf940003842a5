"""The pipeline file's tables and keys, and the same for one plugin."""

from __future__ import annotations

from typing import Any, cast

from coldpress.component import Component, description, options, summary
from coldpress.config.schema import DEFAULT_USE, PLAIN_TABLES, TopLevel
from coldpress.reference import option_facts, plugin_facts
from coldpress.registry import PluginInfo
from coldpress.roles import ROLES
from refpages.installed import builtins
from refpages.markdown import code, paragraphs, table

_COLUMNS = ["key", "type", "unit", "default", "meaning"]


def config() -> str:
    """Every table of a pipeline file: its plugins where it has some, their keys and its own."""
    return paragraphs(
        "## Top level",
        _described(TopLevel),
        *(_role(name) for name in DEFAULT_USE),
        *(
            paragraphs(f"## `[{name}]` {{#{name}}}", _described(schema))
            for name, schema in PLAIN_TABLES.items()
        ),
    )


def plugin_options(plugin: PluginInfo) -> str:
    """A table of the plugin's keys."""
    return _keys(plugin_facts(plugin)["options"])


def _role(name: str) -> str:
    plugins = builtins(name)
    choices = ", ".join(f"[`{one.name}`](#{name}-{one.name})" for one in plugins)
    use = ["`use`", "string", "", code(_toml(DEFAULT_USE[name])), f"the plugin: {choices}"]
    return paragraphs(
        f"## `[{name}]` {{#{name}}}",
        summary(ROLES[name]),
        table(_COLUMNS, [use]),
        *(
            paragraphs(
                f'### `use = "{one.name}"` {{#{name}-{one.name}}}',
                f"{summary(one.component)} [More](roles/{name}.md#{name}-{one.name}).",
                plugin_options(one),
            )
            for one in plugins
        ),
    )


def _described(schema: type) -> str:
    component = cast("type[Component]", schema)
    facts = [option_facts(field) for field in options(component)]
    return paragraphs(description(component), _keys(facts))


def _keys(facts: list[dict[str, Any]]) -> str:
    if not facts:
        return "No keys of its own."
    return table(
        _COLUMNS,
        (
            [
                code(one["name"]),
                one["type"],
                one["unit"] or "",
                "required" if one["required"] else code(_toml(one["default"])),
                one["help"],
            ]
            for one in facts
        ),
    )


def _toml(value: Any) -> str:
    """A default as a pipeline file would say it; none, which no file can say, as a word."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
