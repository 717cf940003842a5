"""`coldpress run`: what a pipeline does to pages, and whether they all come back."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from coldpress.cli.output import print_table
from coldpress.config import PipelineConfig, load_config
from coldpress.harness.corpus import Corpus
from coldpress.harness.errors import InputError
from coldpress.harness.inputs import read_inputs
from coldpress.harness.interrupt import Interrupt
from coldpress.harness.operations import Operations
from coldpress.harness.progress import Progress
from coldpress.harness.report import report
from coldpress.harness.result import Result
from coldpress.harness.runner import Runner
from coldpress.harness.trace import Trace
from coldpress.harness.workload import MAX_THETA, OPERATIONS_PER_PAGE, WRITES, parse_workload
from coldpress.pipeline import Pipeline

_DESCRIPTION = """\
Store every page of the inputs in a pipeline, invalidate some and overwrite some, read everything
back and compare it with what was put in. With --workload or --trace the pages are accessed in that
order instead, and every page that is read is compared."""

_EPILOG = f"""\
workloads:
  zipf:THETA  few slots get most accesses; THETA from 0 (all alike) to {MAX_THETA:g}, usually 0.99
  uniform     every slot is as likely as any other
  scan        every slot in turn
  All pages are stored first; then there are {OPERATIONS_PER_PAGE} accesses a page, {WRITES:.0%} of
  them writes. The seed is fixed: it is the same workload each time.

traces:
  vscsi (*.vscsi), libCacheSim's oracleGeneral (*.oracleGeneral, *.oracleGeneral.bin), or text
  (*.txt), one 'W slot' or 'R slot' a line; without such a name the contents decide. A read of a
  slot that was never written counts as a store. What the pages hold comes from the inputs.

examples:
  coldpress run
  coldpress run pipeline.toml --input /usr/lib --set allocator.limit=32MiB
  coldpress run --input pid:1234 --workload zipf:0.99
  coldpress run pipeline.toml --trace disk.vscsi --json

exit status: 0 all pages came back, 1 the run failed, 2 the call or the config is wrong,
130 stopped by Ctrl-C (what was done so far is printed)"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "run",
        help="put pages through a pipeline and check that they all come back",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "pipeline", nargs="?", metavar="PIPELINE", help="a pipeline file (default: built in)"
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, a directory, or pid:N for the anonymous memory of a process; may be given "
        "again (default: the interpreter's standard library and shared libraries)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--workload", metavar="NAME", help="access the pages as zipf:THETA, scan or uniform do"
    )
    what.add_argument("--trace", metavar="FILE", help="access the pages as a recorded trace does")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="a config key for this run, such as device.size=2GiB; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `ColdpressError`."""
    try:
        return _run(args)
    except InputError as error:
        print(f"coldpress: error: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    config = load_config(args.pipeline, overrides=args.overrides)
    with read_inputs(args.input, config.page_size) as corpus:
        if corpus.skipped:
            print(
                f"coldpress: warning: skipped {corpus.skipped:,} that can not be read; the first: "
                f"{corpus.first_skipped}",
                file=sys.stderr,
            )
        operations: Operations | None = None
        if args.trace is not None:
            operations = Trace(args.trace, config.page_size)
        elif args.workload is not None:
            operations = parse_workload(args.workload, len(corpus))
        config = _with_slots(args, config, operations.slots if operations else len(corpus))
        show = sys.stderr.isatty() and (sys.stdout.isatty() or not args.json)
        result = _measure(config, corpus, operations, show)
    if args.json:
        print(json.dumps(result.asdict(), indent=2))
    else:
        print_table(["figure", "value"], report(result))
    sys.stdout.flush()  # the errors come after the table that they belong to
    for message in result.messages:
        print(f"coldpress: error: {message}", file=sys.stderr)
    if more := result.failures - len(result.messages):
        print(f"coldpress: error: and {more:,} failures more", file=sys.stderr)
    if result.interrupted:
        return 130
    return 1 if result.failures else 0


def _measure(
    config: PipelineConfig, corpus: Corpus, operations: Operations | None, show: bool
) -> Result:
    with Interrupt() as stop, Pipeline(config) as pipeline, Progress(show) as progress:
        runner = Runner(pipeline, config.names, corpus, config.slots, progress, stop)
        return runner.run(operations)


def _with_slots(args: argparse.Namespace, config: PipelineConfig, needed: int) -> PipelineConfig:
    """The config with slots enough, unless the user said how many there are to be."""
    if needed <= config.slots:
        return config
    said = any(text.partition("=")[0].strip() == "slots" for text in args.overrides)
    if not said and args.pipeline is not None:
        with Path(args.pipeline).open("rb") as file:
            said = "slots" in tomllib.load(file)
    if said:
        raise InputError(
            f"this run needs {needed:,} slots and the config has {config.slots:,}: "
            f"use --set slots={needed}"
        )
    return load_config(args.pipeline, overrides=[*args.overrides, f"slots={needed}"])
