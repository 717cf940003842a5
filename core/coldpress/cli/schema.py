"""`coldpress schema`: a JSON Schema of the pipeline file, for editors."""

from __future__ import annotations

import argparse
import json
from typing import Any

from coldpress.config.jsonschema import pipeline_schema
from coldpress.registry import default_registry

_DESCRIPTION = """\
Print a JSON Schema (draft 2020-12) of the pipeline file, with the options of the plugins that are
installed, so that an editor completes and checks it. What no schema can say, such as what holds
between two keys, `coldpress check` tells."""

_EPILOG = """\
examples:
  coldpress schema > coldpress.schema.json
  and as the first line of a pipeline file, for editors that use Taplo:
  #:schema ./coldpress.schema.json"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    subparsers.add_parser(
        "schema",
        help="print a JSON Schema of the pipeline file, for editors",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status."""
    print(json.dumps(pipeline_schema(default_registry()), indent=2))
    return 0
