"""Promotion: an object read from the device comes back to the pool, its device copy still good."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from coldpress.claims import Claims
from coldpress.config import WritebackConfig
from coldpress.entries import Entries
from coldpress.roles.entry_type import EntryType
from coldpress.roles.packer import DeviceObject
from coldpress.table import PAYLOAD_AT

Commit = Callable[[], tuple[int, int]]


class Promotion:
    """Decides which read brings an object back, and how: as it is compressed, if it still is.

    Attributes: `readahead`, whether the block's other objects come along; `pages`, how many were
    promoted; `along`, how many of these came along with another.
    """

    def __init__(
        self,
        entries: Entries,
        config: WritebackConfig,
        claims: Claims,
        *,
        keeps_compressed: bool,
    ) -> None:
        self.readahead = config.readahead and keeps_compressed
        self.pages = 0
        self.along = 0
        self._entries = entries
        self._when = config.promote
        self._claims = claims
        self._keeps_compressed = keeps_compressed

    def is_due(self, word: int) -> bool:
        """Whether the next read brings back the object of this `packed` word."""
        if self._when == "second":
            return self._entries.device_type.seen(word >> PAYLOAD_AT)
        return self._when == "first"

    def prepare(self, word: int, token: DeviceObject, page: bytes) -> Commit | None:
        """What `consider` needs; without a lock, since it may have to compress once more."""
        if not self.is_due(word):
            return None
        if self._keeps_compressed:
            return partial(self._adopt, token)
        try:
            tag, one, prepared = self._claims.page(token.slot, memoryview(page))
        except Exception:  # a codec's, or nobody takes it any more; the load itself went well
            return None
        if not self._entries.pool_types[tag]:
            return None
        return partial(self._commit, tag, one, token.slot, prepared)

    def consider(self, slot: int, word: int, commit: Commit | None) -> bool:
        """Promote the object of this `packed` word, which is unchanged; whether it was.

        Under the pipeline's lock. It is skipped if the pool has no room.
        """
        if commit is None:
            if self._when == "second" and not self.is_due(word):
                self._entries.mark_seen(slot, word)
            return False
        tag, payload = commit()
        if payload < 0:
            return False
        pages = self._entries.promoted(slot, word, tag, payload)
        self.pages += pages
        return pages > 0

    def bring_along(self, one: DeviceObject) -> bool:
        """Promote an object that was read with its block, if it is alive; False without room."""
        word = self._entries.on_device(one)
        if word and self._entries.covers(one.first_slot, word, one):
            tag, payload = self._adopt(one)
            if payload < 0:
                return False
            pages = self._entries.promoted(one.first_slot, word, tag, payload)
            self.pages += pages
            self.along += pages
        return True

    def _commit(self, tag: int, one: EntryType, slot: int, prepared: Any) -> tuple[int, int]:
        if self._entries.types[tag] is not one:
            return tag, -1  # its allocator was replaced meanwhile
        return tag, one.commit(slot, prepared)

    def _adopt(self, token: DeviceObject) -> tuple[int, int]:
        """Tag and payload of the object in the pool; payload -1 if it has no room there."""
        for tag, one in self._entries.adopters:
            if one.adopts(token.codec, token.order, len(token.data)):
                return tag, one.adopt(token.first_slot, token.codec, token.order, token.data)
        return 0, -1
