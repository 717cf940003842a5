"""`coldpress plugins`: what a pipeline can be composed from."""

from __future__ import annotations

import argparse
import json
from typing import Any

import attrs

from coldpress.cli.output import print_table
from coldpress.component import options, summary
from coldpress.registry import PluginInfo, default_registry
from coldpress.values import default, type_name, written, written_text

_DESCRIPTION = """\
List the plugins that are installed: role, name, the distribution that brought each, what it is, and
the options that its table in a pipeline file takes. Two plugins of one name are told apart as
use = "distribution:name"."""

_EPILOG = """\
examples:
  coldpress plugins
  coldpress plugins | grep ^compressor
  coldpress plugins --json"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "plugins",
        help="list the plugins that are installed, and their options",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status."""
    plugins = default_registry().plugins()
    if args.json:
        print(json.dumps([_asdict(one) for one in plugins], indent=2))
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


def _default(field: attrs.Attribute[Any]) -> str:
    value = default(field)
    return " (required)" if value is attrs.NOTHING else f" = {written_text(value, field.type)}"


def _asdict(plugin: PluginInfo) -> dict[str, Any]:
    return {
        "role": plugin.role,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "summary": summary(plugin.component),
        "options": [
            {
                "name": field.name,
                "type": type_name(field.type),
                "default": _json_default(field),
                "help": field.metadata.get("help", ""),
            }
            for field in options(plugin.component)
        ],
    }


def _json_default(field: attrs.Attribute[Any]) -> Any:
    value = default(field)
    return None if value is attrs.NOTHING else written(value, field.type)
