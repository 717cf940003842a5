"""What it takes to give a running pipeline another part, role by role."""

from __future__ import annotations

import abc
from contextlib import ExitStack

import attrs

from coldpress.blockstore import BlockStore
from coldpress.codecs import Codecs
from coldpress.entries import Entries
from coldpress.errors import PluginError
from coldpress.flat import OS_PAGE
from coldpress.locks import Gate
from coldpress.origins import Origins
from coldpress.roles import Compressor, Policy
from coldpress.writeback import Writeback

_BATCH = OS_PAGE // 8  # slots looked at in one hold of the lock: a page of the swap table


@attrs.frozen
class Running:
    """The parts of the pipeline in which others are put in place of old ones."""

    gate: Gate
    entries: Entries
    codecs: Codecs
    store: BlockStore
    writeback: Writeback


class Change(abc.ABC):
    """One part's change: `prepare` first, then `switch`."""

    @abc.abstractmethod
    def prepare(self, running: Running, discard: ExitStack) -> None:
        """All that may take long or fail, while the pipeline goes on; without its lock.

        `discard` is what has to be done, under the lock, if nothing comes of the change.
        """

    @abc.abstractmethod
    def switch(self, running: Running, undo: ExitStack) -> None:
        """Put the new part in the old one's place, under the lock.

        `undo` is what has to be done, in the same hold of it, if this switch or another's raises.
        """


class CompressorChange(Change):
    """New objects are made by another compressor; those that are there keep their codec id."""

    def __init__(self, new: Compressor) -> None:
        self._new = new
        self._codec = 0

    def prepare(self, running: Running, discard: ExitStack) -> None:
        self._new.open()
        self._codec = running.codecs.id_for(self._new)
        if running.entries.origins is None and self._codec != running.codecs.current[0]:
            self._remember_origins(running, discard)

    def _remember_origins(self, running: Running, discard: ExitStack) -> None:
        """From now on it is known which compressor made what; of what is there, too."""
        entries = running.entries
        slots = entries.table.slots
        first, _ = running.codecs.current
        origins = Origins(slots, on_device=running.store.packer.keeps_compressed)
        discard.callback(setattr, entries, "origins", None)
        with running.gate.entered():
            entries.origins = origins
        for start in range(0, slots, _BATCH):
            stop = min(start + _BATCH, slots)
            if entries.table.is_used(start, stop):
                with running.gate.entered():
                    entries.remember_origins(origins, range(start, stop), first)

    def switch(self, running: Running, undo: ExitStack) -> None:
        running.codecs.use(self._codec, self._new, undo)


class PolicyChange(Change):
    """Another policy gets the slots in the order in which the old one would name them."""

    def __init__(self, new: Policy) -> None:
        self._new = new

    def prepare(self, running: Running, discard: ExitStack) -> None:
        self._new.open(running.entries.table.slots)

    def switch(self, running: Running, undo: ExitStack) -> None:
        old, new = running.entries.policy, self._new
        for slot in old.order():
            new.insert(slot)
        if len(new) != len(old):
            raise PluginError(
                f"policy {new.name!r} knows {len(new)} of the {len(old)} slots that were inserted"
            )
        undo.callback(self._follow, running, old)
        self._follow(running, new)

    def _follow(self, running: Running, policy: Policy) -> None:
        running.entries.follow(policy)
        running.writeback.ranks.follow(policy)
