"""A role's page: its contract, what belongs to it, and the plugins that are built in."""

from __future__ import annotations

import coldpress
from coldpress import hookspecs, roles
from coldpress.capabilities import capabilities
from coldpress.registry import PluginInfo
from coldpress.values import written_text
from refpages.config import plugin_options
from refpages.installed import builtins
from refpages.kit import kit_link
from refpages.markdown import code, documented, paragraphs, table


def role(name: str) -> str:
    """All but the title of the page of a role. Raises `KeyError` for an unknown one."""
    cls = roles.ROLES[name]
    hook = hookspecs.HOOKS[name]
    plugins = builtins(name)
    return paragraphs(
        f"Registered by [`{hook}`](../hooks.md#coldpress.hookspecs.{hook}). {kit_link(name)}",
        *(documented(_public(one)) for one in [cls.__name__, *_beside(cls)]),
        "## Built in" if plugins else "",
        *(_plugin(one) for one in plugins),
    )


def _public(name: str) -> str:
    """Where a plugin's author imports it from."""
    return f"coldpress.{name}" if name in coldpress.__all__ else f"coldpress.roles.{name}"


def _beside(cls: type) -> list[str]:
    """The public names of the role's module that are not the role itself."""
    there = ((name, getattr(roles, name)) for name in roles.__all__)
    return [
        name
        for name, one in there
        if isinstance(one, type) and one is not cls and one.__module__ == cls.__module__
    ]


def _plugin(plugin: PluginInfo) -> str:
    cls = plugin.component
    return paragraphs(
        f"### {plugin.name} {{#{plugin.role}-{plugin.name}}}",
        documented(
            f"{cls.__module__}.{cls.__qualname__}",
            4,
            members=False,
            show_root_heading=False,
            show_root_toc_entry=False,
            show_signature=False,
        ),
        plugin_options(plugin),
        _capabilities(plugin),
    )


def _capabilities(plugin: PluginInfo) -> str:
    found = capabilities(plugin.component)
    if not found:
        return ""
    return table(
        ["capability", "value", "meaning"],
        ([code(one.name), code(written_text(one.value, None)), one.help] for one in found),
    )
