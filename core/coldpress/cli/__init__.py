"""The command line: `coldpress COMMAND`, one module for each command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from coldpress import __version__
from coldpress.cli import (
    check,
    compare,
    fsck,
    inspect,
    loading,
    matrix,
    new_plugin,
    plugins,
    run,
    schema,
    test,
)
from coldpress.cli.output import say
from coldpress.errors import ColdpressError, ConfigError, DeviceUnusable
from coldpress.harness.errors import InputError
from coldpress.registry import default_registry

_COMMANDS = {
    "run": run,
    "compare": compare,
    "check": check,
    "plugins": plugins,
    "schema": schema,
    "inspect": inspect,
    "fsck": fsck,
    "test": test,
    "matrix": matrix,
    "new-plugin": new_plugin,
}

_EPILOG = """\
examples:
  coldpress run --input /usr/lib         what the built-in pipeline makes of these files
  coldpress compare a.toml b.toml        the same pages and accesses through each, side by side
  coldpress check pipeline.toml          is this pipeline file right, and what does it compose
  coldpress plugins                      the parts that a pipeline can be composed from
  coldpress inspect cold.img             what a persistent image has
  coldpress fsck cold.img                is it as it was written
  coldpress test zstd                    does this part keep its role's promises
  coldpress matrix                       do all the parts work with each other
  coldpress new-plugin compressor mine   a package of your own to begin with

environment:
  COLDPRESS_PLUGINS=NAME,...   load only these distributions or entry points, and the built-ins
  COLDPRESS_DISABLE=NAME,...   leave these out, as -p no:NAME does

exit status: 0 done, 1 the data or the run failed, 2 the call or the config is wrong"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (by default the process's) gives; the exit status."""
    try:
        args = command_line().parse_args(argv)
    except SystemExit as stop:  # argparse has said what there was to say
        return int(stop.code or 0)
    try:
        with loading.loaded(args):
            for warning in default_registry().warnings:
                say(f"coldpress: warning: {warning}")
            status: int = _COMMANDS[args.command].run(args)
        sys.stdout.flush()  # so that a reader that has gone is noticed here
    except ConfigError as error:
        for problem in error.problems:
            say(f"{problem.where or 'coldpress'}: {problem.message}")
        return 2
    except InputError as error:
        say(f"coldpress: error: {error}")
        return 2
    except DeviceUnusable as error:  # the config names it, so the config is wrong
        say(f"coldpress: error: [device] {error}")
        return 2
    except KeyboardInterrupt:
        say("coldpress: interrupted")
        return 130
    except BrokenPipeError:
        _flush_or_drop_stdout()
        return 1
    except (ColdpressError, OSError, MemoryError) as error:
        say(f"coldpress: error: {str(error) or 'out of memory'}")
        _flush_or_drop_stdout()
        return 1
    return status


def _flush_or_drop_stdout() -> None:
    """Write what is buffered; if it can not be, drop it, or the interpreter's exit would fail."""
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def command_line() -> argparse.ArgumentParser:
    """The parser of `coldpress` and all its commands."""
    parser = argparse.ArgumentParser(
        prog="coldpress",
        description="A compressed swap tier in user space, composed from plugins.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"coldpress {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS.values():
        command.add(subparsers)
    loading.add_option(parser, subparsers.choices.values())
    return parser
