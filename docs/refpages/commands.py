"""The command line: each command's help, as the command prints it."""

from __future__ import annotations

import argparse
import functools

from coldpress.cli import command_line
from refpages.markdown import paragraphs

_WIDTH = 98


def commands() -> str:
    """The help of `coldpress`, then that of each of its commands."""
    parser = command_line()
    (subparsers,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return paragraphs(
        _help(parser),
        *(
            paragraphs(f"## coldpress {name} {{#coldpress-{name}}}", _help(command))
            for name, command in subparsers.choices.items()
        ),
    )


def _help(parser: argparse.ArgumentParser) -> str:
    # At a width of its own, whatever the terminal's is where the site is built.
    parser.formatter_class = functools.partial(argparse.RawDescriptionHelpFormatter, width=_WIDTH)
    return f"```text\n{parser.format_help().rstrip()}\n```"
