"""What `--json` prints beside the counters."""

from __future__ import annotations

from coldpress.harness.result import Result
from coldpress.harness.row import Row
from refpages.markdown import documented

_CLASSES = {"run": Result, "compare": Row}


def figures(command: str) -> str:
    """The figures of a command. Raises `KeyError` for one that measures nothing."""
    cls = _CLASSES[command]
    return documented(
        f"{cls.__module__}.{cls.__qualname__}",
        2,
        filters='["!^_", "!^asdict$", "!^fail$"]',
        show_root_heading=False,
        show_root_toc_entry=False,
    )
