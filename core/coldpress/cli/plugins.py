"""`coldpress plugins`: what a pipeline can be composed from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import attrs

from coldpress.capabilities import capabilities
from coldpress.cli.output import print_table
from coldpress.component import description, options, summary
from coldpress.errors import PluginError
from coldpress.harness.errors import InputError
from coldpress.reference import plugin_facts
from coldpress.registry import PluginInfo, default_registry
from coldpress.roles import ROLES
from coldpress.values import default, type_name, unit, written_text

_DESCRIPTION = """\
List the plugins that are installed: role, name, the distribution that brought each, what it is, and
the options that its table in a pipeline file takes. Two plugins of one name are told apart as
use = "distribution:name". Given a role, list those of the role; given a plugin's name, tell all
about it."""

_EPILOG = """\
examples:
  coldpress plugins
  coldpress plugins compressor
  coldpress plugins zstd
  coldpress plugins --json

exit status: 0 done, 2 there is no such role or plugin"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "plugins",
        help="list the plugins that are installed, and their options",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "which",
        nargs="?",
        metavar="ROLE|NAME",
        help="a role, or a plugin's name, or distribution:name (default: all plugins)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `InputError`."""
    registry = default_registry()
    listed = args.which is None or args.which in ROLES
    try:
        plugins = registry.plugins(args.which) if listed else registry.called(args.which)
    except PluginError as error:
        raise InputError(str(error)) from error
    if args.json:
        print(json.dumps([plugin_facts(one) for one in plugins], indent=2))
    elif not listed:
        print("\n\n".join("\n".join(_page(one)) for one in plugins))
    else:
        columns = ["role", "name", "distribution", "summary", "options"]
        print_table(columns, [_row(one) for one in plugins])
    return 0


def _row(plugin: PluginInfo) -> tuple[str, ...]:
    fields = options(plugin.component)
    return (
        plugin.role,
        plugin.name,
        f"{plugin.distribution} {plugin.version}",
        summary(plugin.component),
        "\n".join(f"{one.name}: {type_name(one.type)}{_default(one)}" for one in fields),
    )


def _page(plugin: PluginInfo) -> Iterator[str]:
    """All about a plugin, line by line."""
    yield f"{plugin.role} {plugin.name}, of {plugin.distribution} {plugin.version}"
    yield ""
    yield description(plugin.component)
    fields = options(plugin.component)
    yield from ["", "options:"] if fields else ["", "no options"]
    for field in fields:
        yield f"  {field.name}: {type_name(field.type)}{_default(field)}"
        if in_what := unit(field.type):
            yield f"      in {in_what}"
        yield from _indented(field.metadata.get("help", ""))
    found = capabilities(plugin.component)
    if found:
        yield from ["", "capabilities:"]
    for one in found:
        yield f"  {one.name} = {written_text(one.value, None)}"
        yield from _indented(one.help)


def _indented(text: str) -> Iterator[str]:
    return (f"      {line}" for line in text.splitlines())


def _default(field: attrs.Attribute[Any]) -> str:
    value = default(field)
    return " (required)" if value is attrs.NOTHING else f" = {written_text(value, field.type)}"
