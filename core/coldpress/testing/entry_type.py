"""The conformance class of entry types of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coldpress.config.entries import ALWAYS, claims_pages
from coldpress.config.schema import TopLevel
from coldpress.roles import CacheEntryType, PoolEntryType
from coldpress.testing.entry_kinds import CacheKind, DeviceKind, PoolKind, ShadowKind
from coldpress.testing.whole import WholePipelineTests


class EntryTypeTests(WholePipelineTests, PoolKind, CacheKind, DeviceKind, ShadowKind):
    """Proves an entry type: subclass it as `TestYours` and set `plugin`.

    If it claims pages that are not among the kit's, override `a_page`. In the whole pipeline it is
    the first that is offered a page, or the last if it takes all; one that claims none stands in
    for the installed one of its name.
    """

    def tables(self, scratch: Path) -> dict[str, Any]:
        plugin = self.plugin
        if not claims_pages(plugin):
            if plugin.name not in ALWAYS:
                pytest.skip(f"it claims no pages, and of those a pipeline has {', '.join(ALWAYS)}")
            return {"cache": {"pages": 8}} if issubclass(plugin, CacheEntryType) else {}
        if plugin.takes_all:
            return {"entries": ["filled", self.use]}
        others = [name for name in TopLevel().entries if name != plugin.name]
        return {"entries": [self.use, *others]}

    def may_fill(self) -> bool:
        """What takes room and is no object that can be written out may fill the pool."""
        if issubclass(self.plugin, PoolEntryType) or not claims_pages(self.plugin):
            return False
        with self.opened() as bench:
            self.claimed(bench, 20)
            return bench.budget.used > 0
