"""First in, first out."""

from __future__ import annotations

import attrs

from coldpress_plugins.policies.lru import Lru


@attrs.define(slots=False, eq=False, kw_only=True)
class Fifo(Lru):
    """The slot stored longest ago leaves first, however often it was loaded."""

    name = "fifo"

    def touch(self, slot: int) -> None:
        """A load changes nothing."""
