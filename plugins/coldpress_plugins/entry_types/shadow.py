"""What a slot remembers after it was emptied."""

from __future__ import annotations

from typing import Any, NoReturn

import attrs

from coldpress import ShadowEntryType, SlotEmpty

_MASK = (1 << 59) - 1


@attrs.define(slots=False, eq=False, kw_only=True)
class Shadow(ShadowEntryType):
    """An empty slot that remembers when it was emptied, so that a quick return counts as warm."""

    name = "shadow"

    def fetch(self, slot: int, payload: int) -> NoReturn:
        raise SlotEmpty(slot)

    def decode(self, token: Any) -> NoReturn:
        raise TypeError("a shadow stands for no page")

    def release(self, payload: int) -> None:
        """The word was all there was."""

    def mark(self, clock: int) -> int:
        return clock & _MASK

    def clock(self, payload: int) -> int:
        return payload
