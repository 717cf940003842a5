"""A JSON Schema of the pipeline file, with the options of the plugins that are installed.

It is for editors, and says as much as draft 2020-12 can: keys, types, choices, and the bounds of
attrs' own validators. What a validator of ours or of a plugin's asks, and what holds between keys,
`coldpress check` alone tells; but a file that it takes, the schema takes, unless a distribution's
name is spelled in another way than its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast, get_args

import attrs

from coldpress.component import Component, description, options, summary
from coldpress.config.entries import claims_pages
from coldpress.config.schema import DEFAULT_USE, PLAIN_TABLES, TopLevel
from coldpress.registry import PluginInfo, Registry
from coldpress.roles import ROLES, EntryType
from coldpress.units import PERCENT_PATTERN, SIZE_PATTERN, Percent, Size
from coldpress.values import default, is_literal, is_optional, unit, without_none, written

Schema = dict[str, Any]

_TYPES: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Size: {"type": ["integer", "string"], "minimum": 0, "pattern": SIZE_PATTERN},
    Percent: {"type": "string", "pattern": PERCENT_PATTERN},
    tuple[str, ...]: {"type": "array", "items": {"type": "string"}},
}
_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}

# attrs does not publish the classes of its validators, only what makes them.
_Number: Any = type(attrs.validators.ge(0))
_In: Any = type(attrs.validators.in_(()))
_And: Any = type(attrs.validators.and_())
_Optional: Any = type(attrs.validators.optional(attrs.validators.ge(0)))


def pipeline_schema(registry: Registry) -> Schema:
    """The schema of a whole pipeline file."""
    properties = _keys(TopLevel)
    names = [
        name
        for plugin, names in _names(registry.plugins("entry_type"))
        if claims_pages(cast("type[EntryType]", plugin.component))
        for name in names
    ]
    properties["entries"]["items"] = {"enum": names}
    properties |= {role: _role(role, registry.plugins(role)) for role in DEFAULT_USE}
    properties |= {name: _table(schema) for name, schema in PLAIN_TABLES.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "coldpress pipeline file",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _role(role: str, plugins: list[PluginInfo]) -> Schema:
    """The table of a role: `use` says which plugin's keys it has.

    A choice by if and then, not oneOf: so an error stands at the key that is wrong, and not at the
    whole table. Beside it, all plugins' keys with their meanings, for editors that do not look
    into conditions when they complete.
    """
    usual = DEFAULT_USE[role]
    named = _names(plugins)
    found: Schema = {
        "type": "object",
        "description": summary(ROLES[role]),
        "properties": {
            "use": {
                "description": f"the {role} plugin",
                "default": usual,
                "enum": [name for _, names in named for name in names],
            },
            **_completions(plugins),
        },
    }
    if named:
        found["allOf"] = [_if_used(plugin, names, usual) for plugin, names in named]
    if not any(usual in names for _, names in named):
        found["required"] = ["use"]
    return found


def _completions(plugins: list[PluginInfo]) -> Schema:
    meanings: dict[str, dict[str, list[str]]] = {}
    for plugin in plugins:
        for field in options(plugin.component):
            users = meanings.setdefault(field.name, {}).setdefault(_meaning(field), [])
            users.append(plugin.name)
    return {
        key: {"description": "\n".join(f"{', '.join(users)}: {text}" for text, users in of.items())}
        for key, of in meanings.items()
    }


def _if_used(plugin: PluginInfo, names: list[str], usual: str) -> Schema:
    then = _table(plugin.component)
    then["properties"] = {"use": True, **then["properties"]}
    chosen: Schema = {"properties": {"use": {"enum": names}}}
    if usual not in names:  # which it would be without `use`
        chosen["required"] = ["use"]
    return {"if": chosen, "then": {"title": plugin.qualified, **then}}


def _names(plugins: list[PluginInfo]) -> list[tuple[PluginInfo, list[str]]]:
    """Each plugin with what `use` may call it: its name if no other has it, and the qualified."""
    count = Counter(one.name for one in plugins)
    return [
        (one, [*([one.name] if count[one.name] == 1 else []), one.qualified]) for one in plugins
    ]


def _table(schema: type) -> Schema:
    component = cast("type[Component]", schema)
    required = [one.name for one in options(component) if default(one) is attrs.NOTHING]
    return {
        "type": "object",
        "description": description(component),
        "properties": _keys(schema),
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _keys(schema: type) -> Schema:
    return {one.name: _key(one) for one in options(cast("type[Component]", schema))}


def _key(field: attrs.Attribute[Any]) -> Schema:
    found: Schema = {"description": _meaning(field), **_type(field.type)}
    for keyword, value in _restrictions(field.validator, without_none(field.type)):
        if keyword == "enum":
            found["enum"] = [one for one in found.get("enum", value) if one in value]
        else:
            closer = max if "inimum" in keyword else min
            found[keyword] = closer(found.get(keyword, value), value)
    value = default(field)
    return found if value is attrs.NOTHING else {**found, "default": written(value, field.type)}


def _type(kind: Any) -> Schema:
    plain = without_none(kind)
    found = {"enum": list(get_args(plain))} if is_literal(plain) else dict(_TYPES[plain])
    if is_optional(kind):  # which TOML has no word for, but a mapping in a program has
        for keyword, none in (("type", "null"), ("enum", None)):
            if keyword in found:
                there = found[keyword]
                found[keyword] = [*([there] if isinstance(there, str) else there), none]
    return found


def _meaning(field: attrs.Attribute[Any]) -> str:
    text = str(field.metadata.get("help", ""))
    in_what = unit(field.type)
    return f"{text} ({in_what})" if in_what else text


def _restrictions(validator: Any, kind: Any, none: bool = False) -> Iterator[tuple[str, Any]]:
    """Keywords that refuse nothing but what the validator refuses.

    `none`: whether the validator lets none pass. A size may be a text, of which neither a bound
    nor a choice of numbers says anything.
    """
    if isinstance(validator, _And):
        for one in validator._validators:
            yield from _restrictions(one, kind, none)
    elif isinstance(validator, _Optional):
        yield from _restrictions(validator.validator, kind, none=True)
    elif isinstance(validator, _Number) and kind in (int, float, Size):
        if isinstance(validator.bound, int | float) and math.isfinite(validator.bound):
            yield _BOUNDS[validator.compare_op], validator.bound
    elif isinstance(validator, _In) and kind in (int, float, str):
        choices = validator.options  # a container of any kind, perhaps one without an end
        if isinstance(choices, tuple | list | set | frozenset):
            like = str if kind is str else int | float
            usable = sorted(one for one in choices if isinstance(one, like))
            yield "enum", [*usable, *([None] if none or None in choices else [])]
