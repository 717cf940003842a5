"""What it takes to give a running pipeline another part, role by role."""

from __future__ import annotations

import abc
import mmap
from collections.abc import Sequence
from contextlib import ExitStack

import attrs

from coldpress.blockstore import BlockStore
from coldpress.claims import Claims
from coldpress.codecs import Codecs
from coldpress.entries import Entries
from coldpress.errors import ConfigError, PluginError, Problem
from coldpress.flat import OS_PAGE, reserve
from coldpress.locks import Gate
from coldpress.origins import Origins
from coldpress.pools import Pool, Pools, open_allocator
from coldpress.roles import Allocator, Compressor, EntryContext, EntryType, Packer, Policy
from coldpress.staging import headroom
from coldpress.writeback import Writeback

_BATCH = OS_PAGE // 8  # slots looked at in one hold of the lock: a page of the swap table


@attrs.frozen
class Running:
    """The parts of the pipeline in which others are put in place of old ones.

    `in_flight`: how many blocks may be being written at a time.
    """

    gate: Gate
    entries: Entries
    claims: Claims
    codecs: Codecs
    store: BlockStore
    pools: Pools
    writeback: Writeback
    context: EntryContext
    in_flight: int


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
        with running.gate.entered():
            running.store.announce(self._codec, self._new)
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


class AllocatorChange(Change):
    """New objects lie in another allocator; the old one is closed when its last has left.

    A word's payload is a handle of one allocator. So the types whose objects lie in it come once
    more, with tags of their own.
    """

    def __init__(self, new: Allocator) -> None:
        self._new = new
        self._types: dict[int, EntryType] = {}

    def prepare(self, running: Running, discard: ExitStack) -> None:
        context = attrs.evolve(running.context, allocator=self._new)
        with running.gate.entered():  # the budget is shared with all that goes on
            running.pools.reap()
            old = running.pools.current.types
            tags = running.entries.free_tags[: len(old)]
            self._check_room(running.pools, enough=len(tags) == len(old))
            open_allocator(self._new, context.budget, context.page_size)
            discard.callback(self._new.close)
            for tag, one in zip(tags, old.values(), strict=True):
                self._types[tag] = type(one)()
                self._types[tag].open(context)
                discard.callback(self._types[tag].close)

    def _check_room(self, pools: Pools, *, enough: bool) -> None:
        """Raises `ConfigError` if older pools are in the way; `enough`: there are tags."""
        if not enough:
            message = (
                f"no tag is left for its objects: {pools.retired} allocators that were replaced "
                f"still hold {pools.retired_pages} pages, which leave by writeback, or when they "
                "are overwritten or invalidated"
            )
        elif left := pools.retired_for_good:  # else the pool might be full of what can not leave
            message = (
                f"the allocator before still holds {left} pages that are never written back; they "
                "leave when they are overwritten or invalidated"
            )
        else:
            return
        raise ConfigError([Problem("allocator", message)])

    def switch(self, running: Running, undo: ExitStack) -> None:
        entries, pools = running.entries, running.pools
        before, old = entries.present, pools.current
        again = dict(zip(old.types, self._types, strict=True))
        present = [again.get(tag, tag) for tag in before]
        claimers = len(running.claims)
        undo.callback(self._put_back, running, old, before)
        entries.enter(self._types, present)
        pools.replace(Pool(self._new, self._types))
        running.claims.offer(present[:claimers])
        running.writeback.set_marks()

    def _put_back(self, running: Running, old: Pool, before: Sequence[int]) -> None:
        running.pools.take_back(old)
        running.entries.enter({}, before)
        running.entries.leave(self._types)
        running.claims.offer(before[: len(running.claims)])
        running.writeback.set_marks()


class PackerChange(Change):
    """Victims go into another packer's blocks; all such packers can read each other's."""

    def __init__(self, new: Packer) -> None:
        self._new = new
        self._buffers = 0
        self._more: list[mmap.mmap] = []

    def prepare(self, running: Running, discard: ExitStack) -> None:
        self._new.open(running.context.page_size)
        limit, in_flight = running.context.budget.limit, running.in_flight
        self._buffers = headroom(limit, self._new, in_flight) // self._new.block
        more = self._buffers - running.writeback.staging.buffers
        self._more = [reserve(self._new.block) for _ in range(more)]

    def switch(self, running: Running, undo: ExitStack) -> None:
        # Blocks that were begun are the old packer's; what is in them is in the pool as well.
        running.writeback.empty_staging()
        undo.callback(running.writeback.set_marks)  # after the rest was undone: it is the last
        undo.callback(running.store.use, running.store.packer)
        running.store.use(self._new)
        running.writeback.staging.change(self._new, self._buffers, self._more, undo)
        running.writeback.set_marks()
