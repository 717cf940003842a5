"""The built-in entry types: the common contract."""

from __future__ import annotations

from coldpress.testing import EntryTypeTests
from coldpress_plugins.entry_types.filled import Filled
from coldpress_plugins.entry_types.folio import Folio
from coldpress_plugins.entry_types.packed import Packed
from coldpress_plugins.entry_types.raw import Raw
from coldpress_plugins.entry_types.shadow import Shadow
from coldpress_plugins.entry_types.zswap import Zswap


class TestFilled(EntryTypeTests):
    plugin = Filled


class TestZswap(EntryTypeTests):
    plugin = Zswap


class TestRaw(EntryTypeTests):
    plugin = Raw


class TestPacked(EntryTypeTests):
    plugin = Packed


class TestShadow(EntryTypeTests):
    plugin = Shadow


class TestFolio(EntryTypeTests):
    plugin = Folio
