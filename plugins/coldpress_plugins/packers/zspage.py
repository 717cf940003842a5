"""Whole zspages, as they lie in RAM."""

from __future__ import annotations

import attrs

from coldpress_plugins.packers.bounce import Bounce


@attrs.define(slots=False, eq=False, kw_only=True)
class ZspagePacker(Bounce):
    """Writes the coldest object's whole zspage as it lies in RAM, young objects and all.

    The mailing-list thread's other idea. Nothing has to be gathered, and the whole zspage is free
    at once; but what shares a zspage shares a size, not an age. A page of records is added. An
    object that shares no zspage is written alone.
    """

    name = "zspage"
    whole_zspages = True
