"""What a reference tells of a plugin and of its keys, as values that JSON has words for."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress.capabilities import capabilities
from coldpress.component import description, options, summary
from coldpress.registry import PluginInfo
from coldpress.values import default, type_name, unit, written


def plugin_facts(plugin: PluginInfo) -> dict[str, Any]:
    """All about a plugin: an item of what `coldpress plugins --json` prints."""
    return {
        "role": plugin.role,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "summary": summary(plugin.component),
        "description": description(plugin.component),
        "options": [option_facts(field) for field in options(plugin.component)],
        "capabilities": [
            {"name": one.name, "value": written(one.value, None), "help": one.help}
            for one in capabilities(plugin.component)
        ],
    }


def option_facts(field: attrs.Attribute[Any]) -> dict[str, Any]:
    """All about a key of a pipeline file, whether a plugin's or not.

    The default of a key that is required is None, as is that of one which is none by default.
    """
    value = default(field)
    required = value is attrs.NOTHING
    return {
        "name": field.name,
        "type": type_name(field.type),
        "unit": unit(field.type),
        "required": required,
        "default": None if required else written(value, field.type),
        "help": field.metadata.get("help", ""),
    }
