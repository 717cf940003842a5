"""The option -p, which every command takes: plugins to load besides, or to leave out."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable

from coldpress.errors import PluginError
from coldpress.harness.errors import InputError
from coldpress.registry import Registry, using
from coldpress.selection import Selection


def add_option(
    parser: argparse.ArgumentParser, commands: Iterable[argparse.ArgumentParser]
) -> None:
    """Let -p stand before the command and after it."""
    # Two destinations: a command's parser begins anew, and its list would replace the first.
    _add(parser, "plugins_before")
    for command in commands:
        _add(command, "plugins_after")


def loaded(args: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Makes the plugins that the call asks for the default ones.

    Raises `InputError` if one that it names can not be imported.
    """
    given = [*args.plugins_before, *args.plugins_after]
    if not given:
        return contextlib.nullcontext()
    try:
        registry = Registry.load(Selection.of(os.environ, given))
    except PluginError as error:
        raise InputError(str(error)) from error
    return using(registry)


def _add(parser: argparse.ArgumentParser, destination: str) -> None:
    parser.add_argument(
        "-p",
        action="append",
        default=[],
        type=_plugin,
        dest=destination,
        metavar="MODULE",
        help="import this module as a plugin; no:NAME leaves out an entry point, a distribution or "
        "a module; may be given again",
    )


def _plugin(text: str) -> str:
    if not text.removeprefix("no:"):
        raise argparse.ArgumentTypeError("expected MODULE or no:NAME")
    return text
