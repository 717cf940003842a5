"""Opening a device that has something on it: of each slot the newest record counts.

What a scan of the blocks found becomes the pipeline's. Blocks whose write was cut short are made
unreadable before anything else is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from coldpress.block import BlockError
from coldpress.durable import DurableEntries, page_of_word
from coldpress.durablestore import DurableStore
from coldpress.errors import ConfigError
from coldpress.newest import Newest
from coldpress.scan import Progress, Scan, State
from coldpress.table import PAYLOAD_AT, TAG_MASK

_log = logging.getLogger("coldpress")


class Recovery:
    """Reads a device into `entries`, which are empty, and into the space of `store`.

    `tag_of` gives the tag for the id of an entry type in a record. Attributes: `scan`, what was
    found in the blocks.

    Notes: called once, before anything else uses the pipeline. While it runs it needs 8 bytes for
    each slot on the device, or 25 for those that have no object, besides what the pipeline needs.
    """

    def __init__(
        self,
        store: DurableStore,
        entries: DurableEntries,
        page_size: int,
        tag_of: Callable[[int], int],
        progress: Progress | None = None,
    ) -> None:
        self._entries = entries
        self._page_size = page_size
        self._store = store
        self._needed: set[int] = set()  # ids of compressors that are unusable
        (self._home,) = store.space.members
        self._space = self._home.space
        self._newest = Newest(
            entries.table.slots,
            self._space,
            entries.device_type,
            entries.device_tag,
            tag_of,
            store.sealing,
            codecs=entries.origins is not None,
        )
        self.scan = Scan(
            self._home, store.superblock, self._space, self._newest, store.sealing, progress
        )

    def run(self) -> None:
        """Raises `DeviceError`, and `ConfigError` for what no plugin takes that is there."""
        space = self._space
        self.scan.run()
        self._newest.settle(self._found)
        if self._needed:  # nothing is written until now
            unusable = self._store.ids.unusable
            raise ConfigError([unusable[codec] for codec in sorted(self._needed)])
        # A block that is written over one of these has to hide all that it might have.
        for number, state in enumerate(self.scan.states):
            if state > State.GOOD:
                space.spoilt(space.start + number * space.block, space.block // self._page_size)
        for offset, sequence in self.scan.torn.items():
            if self._store.cleared(offset, sequence):
                space.spoilt(offset, 0)
        space.found_all(self.scan.used)
        self._warn(list(map(space.number, self.scan.having(State.PARTIAL, State.UNKNOWN))))

    def _found(self, slot: int, word: int, place: int) -> None:
        entries = self._entries
        one = entries.types[word & TAG_MASK]
        if one is not None and one is not entries.device_type:
            try:
                page_of_word(one, slot, word >> PAYLOAD_AT, self._page_size)
            except BlockError:
                # Taken for an object, it is one that is damaged: so the slot's load will tell.
                word = place << PAYLOAD_AT | entries.device_tag
        entries.recovered(slot, word, place)
        if entries.origins is not None:
            codec = self._newest.codec(slot)
            entries.origins.note((slot,), codec)
            if codec in self._store.ids.unusable:
                self._needed.add(codec)

    def _warn(self, blocks: list[int]) -> None:
        """Tell of blocks that may have had the newest record of a slot, which was not found."""
        if blocks:
            some = ", ".join(map(str, blocks[:8])) + (", ..." if len(blocks) > 8 else "")
            _log.warning(
                "damaged blocks of the %s device, %d in all: %s. What was not found in them is "
                "lost, and its slots may hold an older version or nothing, unless the write of the "
                "block was cut short; `coldpress fsck` tells more",
                self._home.device.name,
                len(blocks),
                some,
            )
