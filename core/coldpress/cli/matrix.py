"""`coldpress matrix`: do the installed plugins work with each other."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from coldpress.cli.output import print_table
from coldpress.config.report import assigned
from coldpress.config.schema import DEFAULT_USE
from coldpress.errors import PluginError
from coldpress.harness.errors import InputError
from coldpress.harness.interrupt import Interrupt
from coldpress.harness.progress import Progress
from coldpress.names import did_you_mean
from coldpress.registry import default_registry

if TYPE_CHECKING:
    from coldpress.testing.covering import Pair, Row
    from coldpress.testing.matrix import Matrix, Trial

_ROLES = (*DEFAULT_USE, "entry_type")

_DESCRIPTION = """\
Put the installed plugins together, one of each role, so that every two of different roles meet in
some pipeline, and see whether each pipeline keeps every page: random histories against a dict,
threads, and more pages than the pool has room for, which leave for the device and come back. The
entry type stands in front of the default ones in `entries`. Frontends take no part.
It needs pytest and hypothesis: pip install 'coldpress[testing]'."""

_EPILOG = """\
examples:
  coldpress matrix                              all pairs of all plugins
  coldpress matrix --with compressor=isal       this one with every value of the other roles
  coldpress matrix --with policy=lru --with policy=sieve
  coldpress matrix --with device=fsspec --set device.url=memory://matrix
  coldpress -p my_module matrix --with policy=mine --json

A text in --set may hold {scratch}, the name of a folder that is empty at the beginning; a device's
`path` is in there if it is not given.

exit status: 0 all combinations work, 1 one of them does not, 2 there is no such plugin or option,
130 stopped by Ctrl-C, after the combination that was tried (what was done so far is printed)"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "matrix",
        help="prove that the installed plugins work with each other",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--with",
        dest="chosen",
        action="append",
        default=[],
        type=_chosen,
        metavar="ROLE=NAME",
        help="of this role only this plugin; again with the same role: these plugins",
    )
    parser.add_argument(
        "--set",
        dest="options",
        action="append",
        default=[],
        metavar="ROLE.KEY=VALUE",
        help="an option of the plugins of a role that have it, as in a pipeline file (may be "
        "repeated)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _chosen(text: str) -> tuple[str, str]:
    role, _, name = text.partition("=")
    if role not in _ROLES or not name:
        hint = did_you_mean(role, _ROLES) if role not in _ROLES else ""
        hint = f"{hint}?" if hint else f" roles: {', '.join(_ROLES)}"
        raise argparse.ArgumentTypeError(f"expected ROLE=NAME, got {text!r};{hint}")
    return role, name


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `InputError`, `ConfigError`."""
    try:
        from coldpress.testing.matrix import Matrix
    except ImportError as error:
        raise InputError(str(error)) from error
    began = time.monotonic()
    with Interrupt() as stop, Progress(sys.stderr.isatty() and not args.json) as progress:
        matrix = Matrix(_axes(args), default_registry())
        progress.phase("combinations", len(matrix.plan.rows))

        def tell(trial: Trial) -> None:
            if not args.json:
                _print_trial(args, trial)
            progress.advance(1)

        matrix.run(tell, stop)
    seconds = time.monotonic() - began
    if args.json:
        print(json.dumps(_asdict(args, matrix, seconds), indent=2))
    else:
        _print_rest(matrix, seconds)
    if len(matrix.trials) < len(matrix.plan.rows):
        raise KeyboardInterrupt
    return 0 if matrix.ok else 1


def _axes(args: argparse.Namespace) -> Any:
    from coldpress.testing.axes import Axes

    options = assigned(args.options)
    plain = [key for key, value in options.items() if not isinstance(value, dict)]
    if plain:
        raise InputError(f"--set {plain[0]}: expected ROLE.KEY=VALUE, such as device.size=16MiB")
    chosen: dict[str, list[str]] = {}
    for role, name in args.chosen:
        chosen.setdefault(role, []).append(name)
    try:
        return Axes.of(default_registry(), chosen, options)
    except PluginError as error:
        raise InputError(str(error)) from error


def _print_trial(args: argparse.Namespace, trial: Trial) -> None:
    word = "ok" if trial.outcome == "passed" else "FAILED"
    counts = ", ".join(
        f"{trial.calls[name]} {text}"
        for name, text in (("written_back_pages", "written back"), ("refaults", "refaults"))
        if name in trial.calls
    )
    print(f"{word:8}{'-'.join(trial.row)}  {trial.seconds:.1f} s  {counts}".rstrip())
    if trial.why:
        print(*(f"        {line}" for line in trial.why.splitlines()), sep="\n")
        print(f"        again: {_again(args, trial.row)}")
    sys.stdout.flush()


def _print_rest(matrix: Matrix, seconds: float) -> None:
    for one in matrix.axes.left_out:
        print(f"left out: {one.role} {one.name} {one.why}")
    for name in matrix.idle:
        print(f"idle: entry type {name} took none of the pages, so that its pairs do not count")
    for pair, why in matrix.plan.refused.items():
        print(f"refused: {' with '.join(_pair(pair))}: {why}")
    print_table(
        ["figure", "value"],
        [
            *((role, ", ".join(names)) for role, names in _axes_of(matrix)),
            ("combinations", _combinations(matrix)),
            ("pairs", _pairs(matrix)),
            ("seconds", f"{seconds:.1f}"),
        ],
    )


def _combinations(matrix: Matrix) -> str:
    failed = len(matrix.failed)
    return f"{len(matrix.trials)}, {len(matrix.trials) - failed} passed, {failed} failed"


def _pairs(matrix: Matrix) -> str:
    return (
        f"{len(matrix.proved)} of {len(matrix.all_pairs)} worked together, "
        f"{len(matrix.plan.refused)} are refused"
    )


def _axes_of(matrix: Matrix) -> Iterator[tuple[str, list[str]]]:
    return ((role, list(values)) for role, values in matrix.axes.values.items())


def _pair(pair: Pair) -> list[str]:
    return [f"{_ROLES[number]} {name}" for number, name in pair]


def _again(args: argparse.Namespace, row: Row) -> str:
    """The command that tries this combination alone."""
    words = ["coldpress"]
    for plugin in (*args.plugins_before, *args.plugins_after):
        words += ["-p", plugin]
    words.append("matrix")
    for role, name in zip(_ROLES, row, strict=True):
        words += ["--with", f"{role}={name}"]
    for option in args.options:
        words += ["--set", option]
    return shlex.join(words)


def _asdict(args: argparse.Namespace, matrix: Matrix, seconds: float) -> dict[str, Any]:
    return {
        "ok": matrix.ok,
        "plugins": dict(_axes_of(matrix)),
        "left_out": [
            {"role": one.role, "name": one.name, "why": one.why} for one in matrix.axes.left_out
        ],
        "idle": matrix.idle,
        "refused": [{"pair": _pair(pair), "why": why} for pair, why in matrix.plan.refused.items()],
        "combinations": [
            {
                "pipeline": dict(zip(_ROLES, trial.row, strict=True)),
                "outcome": trial.outcome,
                "why": trial.why,
                "seconds": round(trial.seconds, 3),
                "calls": trial.calls,
                "again": _again(args, trial.row),
            }
            for trial in matrix.trials
        ],
        "pairs": {
            "all": len(matrix.all_pairs),
            "worked_together": len(matrix.proved),
            "refused": len(matrix.plan.refused),
        },
        "seconds": round(seconds, 3),
    }
