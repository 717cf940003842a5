"""One copy of identical pages, as an entry type for coldpress."""

from __future__ import annotations

import coldpress
from coldpress_dedup.entry_type import Dedup


@coldpress.hookimpl
def coldpress_entry_types() -> list[type[coldpress.EntryType]]:
    return [Dedup]


__all__ = ["Dedup"]
