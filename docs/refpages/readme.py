"""Sections that the README and the site share."""

from __future__ import annotations

import re
from pathlib import Path

_README = Path(__file__).parents[2] / "README.md"


def readme(heading: str) -> str:
    """The README's section under this heading, the heading included.

    Raises `KeyError` if there is none.
    """
    sections = re.split(r"^(?=## )", _README.read_text(), flags=re.MULTILINE)
    for section in sections:
        if section.startswith(f"## {heading}\n"):
            return section.rstrip()
    raise KeyError(heading)
