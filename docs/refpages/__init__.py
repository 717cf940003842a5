"""The reference pages' contents, made from the code that they describe.

A page asks for a part by a line of its own, `<!-- generate: NAME [ARGUMENT] -->`, and may have
any other text around it. What comes out is Markdown; its `:::` lines are for mkdocstrings, which
puts a class's docstring, signatures and members there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from refpages.api import api
from refpages.commands import commands
from refpages.config import config
from refpages.counters import counters
from refpages.figures import figures
from refpages.hooks import hooks
from refpages.kit import kit
from refpages.readme import readme
from refpages.roles import role

_PARTS: dict[str, Callable[..., str]] = {
    "api": api,
    "commands": commands,
    "config": config,
    "counters": counters,
    "figures": figures,
    "hooks": hooks,
    "kit": kit,
    "readme": readme,
    "role": role,
}
_DIRECTIVE = re.compile(r"^<!-- generate: (\w+)(?: (.+))? -->$", re.MULTILINE)


def expand(markdown: str) -> str:
    """`markdown` with the parts that it asks for. Raises `KeyError` for one that is not there."""
    return _DIRECTIVE.sub(_part, markdown)


def _part(match: re.Match[str]) -> str:
    name, argument = match.groups()
    return _PARTS[name](*([argument] if argument else []))
