"""`coldpress compare` of the example pipelines, in this process: a row for each packer."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from coldpress.cli import main

EXAMPLES = sorted((Path(__file__).parents[1] / "examples" / "compare").glob("*.toml"))
LRU_ORDERED = {"page", "zsmalloc", "bounce", "aligned"}
BLOCK = 64 << 10

Rows = dict[str, dict[str, Any]]


def compare_examples(*arguments: str) -> Rows:
    """Every example's row, by its packer's name."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["compare", *map(str, EXAMPLES), "--deterministic", "--json", *arguments]) == 0
    return {row["packer"]: row for row in json.loads(out.getvalue())}
