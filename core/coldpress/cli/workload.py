"""What the commands that put pages through pipelines share: their options and what those mean."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from coldpress.cli.output import say
from coldpress.config import PipelineConfig
from coldpress.harness.corpus import Corpus
from coldpress.harness.errors import InputError
from coldpress.harness.inputs import read_inputs
from coldpress.harness.operations import Operations
from coldpress.harness.result import Result
from coldpress.harness.trace import Trace
from coldpress.harness.workload import MAX_THETA, OPERATIONS_PER_PAGE, WRITES, parse_workload

EPILOG = f"""\
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
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --input, --workload, --trace and --set."""
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


def open_corpus(args: argparse.Namespace, page_size: int) -> Corpus:
    """The pages of --input; what could not be read is said on stderr. Raises `InputError`."""
    corpus = read_inputs(args.input, page_size)
    if corpus.skipped:
        say(
            f"coldpress: warning: skipped {corpus.skipped:,} that can not be read; the first: "
            f"{corpus.first_skipped}"
        )
    return corpus


def operations_of(args: argparse.Namespace, corpus: Corpus) -> Operations | None:
    """What --trace or --workload asks for; None if neither was given. Raises `InputError`."""
    if args.trace is not None:
        return Trace(args.trace, corpus.page_size)
    if args.workload is not None:
        return parse_workload(args.workload, len(corpus))
    return None


def more_slots(
    pipeline: str | None, overrides: Sequence[str], config: PipelineConfig, needed: int
) -> list[str]:
    """The overrides that give the config slots enough: one, or none if it has them.

    Raises `InputError` if the user said how many there are to be.
    """
    if needed <= config.slots:
        return []
    said = any(text.partition("=")[0].strip() == "slots" for text in overrides)
    if not said and pipeline is not None:
        with Path(pipeline).open("rb") as file:
            said = "slots" in tomllib.load(file)
    if said:
        raise InputError(
            f"{'' if pipeline is None else f'{pipeline}: '}this run needs {needed:,} slots and the "
            f"config has {config.slots:,}: use --set slots={needed}"
        )
    return [f"slots={needed}"]


def shows_progress(args: argparse.Namespace) -> bool:
    """Whether there is a terminal for a progress bar, and nobody is parsing what is on it."""
    return sys.stderr.isatty() and (sys.stdout.isatty() or not args.json)


def print_failures(result: Result, prefix: str = "") -> None:
    """Say on stderr what failed, after the figures that it belongs to."""
    sys.stdout.flush()
    for message in result.messages:
        say(f"coldpress: error: {prefix}{message}")
    if more := result.failures - len(result.messages):
        say(f"coldpress: error: {prefix}and {more:,} failures more")
