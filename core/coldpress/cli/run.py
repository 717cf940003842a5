"""`coldpress run`: what a pipeline does to pages, and whether they all come back."""

from __future__ import annotations

import argparse
import json
from typing import Any

from coldpress.cli import workload
from coldpress.cli.output import print_table
from coldpress.config import PipelineConfig, load_config
from coldpress.harness.corpus import Corpus
from coldpress.harness.interrupt import Interrupt
from coldpress.harness.operations import Operations
from coldpress.harness.progress import Progress
from coldpress.harness.report import report
from coldpress.harness.result import Result
from coldpress.harness.runner import Runner
from coldpress.pipeline import Pipeline

_DESCRIPTION = """\
Store every page of the inputs in a pipeline, invalidate some and overwrite some, read everything
back and compare it with what was put in. With --workload or --trace the pages are accessed in that
order instead, and every page that is read is compared."""

_EPILOG = f"""\
{workload.EPILOG}
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
    workload.add_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `ColdpressError`."""
    config = load_config(args.pipeline, overrides=args.overrides)
    with workload.open_corpus(args, config.page_size) as corpus:
        operations = workload.operations_of(args, corpus)
        needed = operations.slots if operations else len(corpus)
        if more := workload.more_slots(args.pipeline, args.overrides, config, needed):
            config = load_config(args.pipeline, overrides=[*args.overrides, *more])
        result = _measure(config, corpus, operations, workload.shows_progress(args))
    if args.json:
        print(json.dumps(result.asdict(), indent=2))
    else:
        print_table(["figure", "value"], report(result))
    workload.print_failures(result)
    if result.interrupted:
        return 130
    return 1 if result.failures else 0


def _measure(
    config: PipelineConfig, corpus: Corpus, operations: Operations | None, show: bool
) -> Result:
    with (
        Interrupt() as stop,
        Progress(show) as progress,
        Pipeline(config, progress=progress.reading) as pipeline,
    ):
        runner = Runner(pipeline, config.names, corpus, config.slots, progress, stop)
        return runner.run(operations)
