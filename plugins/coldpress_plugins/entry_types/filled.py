"""Pages that repeat one word cost a table word and nothing else."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress import EntryContext, EntryType

_WORD = 8
_REPEATED = 1 << 58  # the value is 4 bytes wide and stands twice in the word
_LARGEST = _REPEATED - 1


@attrs.define(slots=False, eq=False, kw_only=True)
class Filled(EntryType):
    """Pages and folios that repeat one 64-bit word, kept in the table word itself.

    zswap's and zram's same-filled pages. Of the 64-bit values those fit that are below 2**58 or
    repeat 32 bits; a page filled with another is left to the next type.
    """

    name = "filled"
    counts_as = "same_filled_pages"
    folios = True
    durable = True

    def open(self, context: EntryContext) -> None:
        self._page_size = context.page_size
        self._words = context.page_size // _WORD

    def prepare(self, page: memoryview) -> Any | None:
        head = page[:_WORD]
        # Most pages differ in the last word already: the whole is compared only if they do not.
        if head != page[-_WORD:]:
            return None
        word = head.tobytes()
        if page != word * (len(page) // _WORD):
            return None
        value = int.from_bytes(word, "little")
        if value <= _LARGEST:
            return value
        low = value & 0xFFFFFFFF
        return _REPEATED | low if low == value >> 32 else None

    def commit(self, slot: int, prepared: Any) -> int:
        return int(prepared)

    def fetch(self, slot: int, payload: int) -> int:
        return payload

    def decode(self, token: int) -> bytes:
        if token & _REPEATED:
            low = token & 0xFFFFFFFF  # the rest is zeros, but in a word that nobody has stored
            return low.to_bytes(4, "little") * (2 * self._words)
        return token.to_bytes(_WORD, "little") * self._words

    def release(self, payload: int) -> None:
        """The word was all there was."""
