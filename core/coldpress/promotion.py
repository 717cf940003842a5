"""Promotion: an object read from the device comes back to the pool, its device copy still good."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from coldpress.entries import Entries
from coldpress.roles.entry_type import EntryType
from coldpress.roles.packer import DeviceObject
from coldpress.table import TAG_BITS

Prepare = Callable[[int, memoryview], tuple[int, EntryType, Any]]
Commit = Callable[[], tuple[int, int]]


class Promotion:
    """Decides which read brings an object back, and how: as it is compressed, if it still is.

    Attributes: `pages`, how many were promoted.
    """

    def __init__(
        self,
        entries: Entries,
        when: Literal["never", "first", "second"],
        prepare: Prepare,
        *,
        keeps_compressed: bool,
    ) -> None:
        self.pages = 0
        self._entries = entries
        self._when = when
        self._prepare = prepare
        self._keeps_compressed = keeps_compressed

    def prepare(self, token: DeviceObject, page: bytes) -> Commit | None:
        """What `consider` needs; without a lock, since it may have to compress once more."""
        if self._when == "never":
            return None
        if self._keeps_compressed:
            return partial(self._adopt, token)
        return partial(self._commit, token.slot, *self._prepare(token.slot, memoryview(page)))

    def consider(self, slot: int, word: int, commit: Commit | None) -> bool:
        """Promote the object of this `packed` word, which is unchanged; whether it was.

        Under the pipeline's lock. It is skipped if the pool has no room.
        """
        if commit is None:
            return False
        if self._when == "second" and not self._entries.device_type.seen(word >> TAG_BITS):
            self._entries.mark_seen(slot, word)
            return False
        tag, payload = commit()
        if payload < 0:
            return False
        self._entries.promoted(slot, word, tag, payload)
        self.pages += 1
        return True

    def _adopt(self, token: DeviceObject) -> tuple[int, int]:
        """Tag and payload of the object in the pool; payload -1 if it has no room there."""
        for tag, one in enumerate(self._entries.pool_types):
            if one is not None and one.adopts(token.codec, token.length):
                return tag, one.adopt(token.slot, token.codec, token.data)
        return 0, -1

    def _commit(self, slot: int, tag: int, one: EntryType, prepared: Any) -> tuple[int, int]:
        """The same for an object that had to be compressed once more."""
        if self._entries.pool_types[tag] is None:
            return 0, -1
        return tag, one.commit(slot, prepared)
