"""The counters of `Pipeline.stats()`."""

from __future__ import annotations

import attrs

from coldpress.stats import Stats
from refpages.markdown import code, table


def counters() -> str:
    """A table of all counters, in the order in which they are printed."""
    return table(
        ["counter", "type", "meaning"],
        (
            [code(field.name), code(str(field.type)), field.metadata["help"]]
            for field in attrs.fields(Stats)
        ),
    )
