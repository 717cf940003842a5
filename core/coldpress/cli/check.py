"""`coldpress check`: whether a pipeline file is right, and what it composes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any, cast

from coldpress.cli.output import print_table
from coldpress.component import Component, options
from coldpress.config import PipelineConfig, load_config
from coldpress.config.schema import TopLevel
from coldpress.errors import ConfigError
from coldpress.values import written_text

_DESCRIPTION = """\
Read a pipeline file and say everything that is wrong with it, each problem with its line and
column; or that it is right, and the pipeline that it composes. Nothing is opened or written."""

_EPILOG = """\
examples:
  coldpress check pipeline.toml
  coldpress check pipeline.toml --set compressor.use=lz4 --set allocator.limit=16MiB
  coldpress check pipeline.toml --json

exit status: 0 the file is right, 2 it is not"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "check",
        help="check a pipeline file and show the pipeline that it composes",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pipeline", metavar="PIPELINE", help="a pipeline file (TOML)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="a config key to check instead of the file's, such as device.size=2GiB; may be given "
        "again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `ConfigError`, unless that is for JSON."""
    if args.json:
        return _print_json(args)
    config = load_config(args.pipeline, overrides=args.overrides)
    print(f"{args.pipeline}: ok")
    print_table(["part", "plugin", "options"], _rows(config))
    return 0


def _print_json(args: argparse.Namespace) -> int:
    problems = []
    names = None
    try:
        names = load_config(args.pipeline, overrides=args.overrides).names
    except ConfigError as error:
        problems = [{"where": one.where, "message": one.message} for one in error.problems]
    print(json.dumps({"ok": not problems, "problems": problems, "pipeline": names}, indent=2))
    return 2 if problems else 0


def _rows(config: PipelineConfig) -> Iterator[tuple[str, str, str]]:
    yield "pipeline", "", _options(TopLevel, config)
    for role, name in config.names.items():
        component = getattr(config, role)
        yield role, name, _options(type(component), component)
    for table in ("writeback", "cache"):
        section = getattr(config, table)
        yield table, "", _options(type(section), section)


def _options(schema: type, values: object) -> str:
    return "\n".join(
        f"{field.name}={written_text(getattr(values, field.name), field.type)}"
        for field in options(cast("type[Component]", schema))
    )
