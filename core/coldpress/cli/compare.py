"""`coldpress compare`: the same pages and accesses through several pipelines, side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from coldpress.cli import workload
from coldpress.cli.output import print_grid, say
from coldpress.config import PipelineConfig
from coldpress.errors import ConfigError
from coldpress.harness.compare import Comparison, Entrant, names_of
from coldpress.harness.errors import InputError
from coldpress.harness.figures import tables
from coldpress.harness.interrupt import Interrupt
from coldpress.harness.progress import Progress
from coldpress.harness.row import Row, against_baseline, percent
from coldpress.harness.webpage import webpage
from coldpress.harness.wholefile import WholeFile
from coldpress.harness.workload import parse_workload
from coldpress.units import format_size, parse_percent

_WORKLOAD = "zipf:0.99"

_DESCRIPTION = f"""\
Put the same pages through several pipelines, with the same accesses and the pool held to the same
part of what the pages take compressed, and show the figures side by side. Every page that is read
is compared with what was stored. Without --trace and --workload, the accesses are {_WORKLOAD}."""

_EPILOG = f"""\
limits:
  A limit is a part of the compressed footprint: the bytes of all pages that the accesses touch,
  compressed by the pipeline's own compressor. It takes the place of the file's allocator.limit.

{workload.EPILOG}
examples:
  coldpress compare examples/compare/*.toml
  coldpress compare page.toml bounce.toml --trace disk.vscsi --limit 10%,25%,50% --html report.html
  coldpress compare page.toml bounce.toml --input /usr/lib --deterministic --json

exit status: 0 all pages came back, 1 a run failed, 2 the call or a config is wrong, 130 stopped
by Ctrl-C (the runs that had finished are printed, no page is written)"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "compare",
        help="put the same pages and accesses through several pipelines, side by side",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pipelines", nargs="+", metavar="PIPELINE", help="a pipeline file (TOML)")
    workload.add_options(parser)
    parser.add_argument(
        "--limit",
        type=_limits,
        default=[0.25],
        dest="limits",
        metavar="PERCENT,...",
        help="the pool's limits, in percent of the compressed footprint (default: 25%%)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="write back in the storing thread, in steps that repeat exactly, and measure "
        "writeback's memory",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list, an object a run")
    parser.add_argument("--html", metavar="FILE", help="write a page with plots and tables, too")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `ColdpressError`."""
    _refuse_limit_keys(args.overrides)
    configs = _checked(args.pipelines, args.overrides)
    page_size = _common_page_size(args.pipelines, configs)
    html = None if args.html is None else WholeFile(args.html, "--html")
    rows: list[Row] = []
    with workload.open_corpus(args, page_size) as corpus:
        given = workload.operations_of(args, corpus)
        operations = given or parse_workload(_WORKLOAD, len(corpus))
        names = names_of(args.pipelines)
        entrants = []
        for name, path, config in zip(names, args.pipelines, configs, strict=True):
            more = workload.more_slots(path, args.overrides, config, operations.slots)
            entrants.append(Entrant(name, path, (*args.overrides, *more)))
        with Interrupt() as stop, Progress(workload.shows_progress(args)) as progress:
            comparison = Comparison(corpus, operations, args.deterministic, progress, stop)
            runs = comparison.plan(entrants, args.limits)
            rows.extend(comparison.rows(runs))
        about = _about(args, operations.name, len(corpus), page_size)
    against_baseline(rows)
    _print(args, rows)
    if len(rows) < len(runs):
        say("coldpress: interrupted")
        return 130
    if html is not None:
        html.write(webpage(rows, about))
    return 1 if any(row.result.failures for row in rows) else 0


def _limits(text: str) -> list[float]:
    """The type of --limit: fractions from "10%,25%,50%", each once."""
    limits = []
    for part in text.split(","):
        try:
            limit = parse_percent(part)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if not limit:
            raise argparse.ArgumentTypeError(f"{part.strip()!r} leaves no pool at all")
        limits.append(limit)
    return list(dict.fromkeys(limits))


def _refuse_limit_keys(overrides: Sequence[str]) -> None:
    for text in overrides:
        if text.partition("=")[0].strip() == "allocator.limit":
            raise InputError(f"--set {text}: the limits of a comparison are given by --limit")


def _checked(paths: Sequence[str], overrides: Sequence[str]) -> list[PipelineConfig]:
    """The pipelines as their files give them. Raises `ConfigError` with what is wrong in all."""
    configs, problems = [], []
    for path in paths:
        try:
            configs.append(Entrant(path, path, tuple(overrides)).config())
        except ConfigError as error:
            problems += [one for one in error.problems if one not in problems]
    if problems:
        raise ConfigError(problems)
    return configs


def _common_page_size(paths: Sequence[str], configs: Sequence[PipelineConfig]) -> int:
    first = configs[0].page_size
    for path, config in zip(paths, configs, strict=True):
        if config.page_size != first:
            raise InputError(
                f"{path}: its page_size is {format_size(config.page_size)} and that of {paths[0]} "
                f"{format_size(first)}: pipelines are compared on the same pages"
            )
    return first


def _print(args: argparse.Namespace, rows: Sequence[Row]) -> None:
    if args.json:
        print(json.dumps([row.asdict() for row in rows], indent=2))
    else:
        for table in tables(rows):
            print_grid(f"limit {table.limit}", table.pipelines, table.lines)
    for row in rows:
        workload.print_failures(row.result, f"{row.pipeline} at {percent(row.limit)}: ")


def _about(args: argparse.Namespace, operations: str, pages: int, page_size: int) -> list[str]:
    inputs = ", ".join(args.input) or "the interpreter's own files"
    how = "in the storing thread" if args.deterministic else "in the background"
    return [
        f"Accesses: {operations}. Contents: {pages:,} pages of {format_size(page_size)} from "
        f"{inputs}. Writeback {how}.",
        "A limit is a part of the compressed footprint: the bytes of all pages that the accesses "
        "touch, each compressed by the pipeline's own compressor.",
    ]
