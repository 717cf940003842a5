"""A look at all blocks of a persistent device: what is in each, and which records count.

A first look at some headers tells how far it is durable, W. Then header and records of every block
are read, in the order in which they lie there. Blocks past W come last: of these every byte is
checked, for the write of one may have been cut short. What is not whole is as if it had never been
written. What can not be read is no sign of that: `sync` may have acknowledged the block, so all
that can be read of it decides. Up to W a bad object is told of when it is loaded; of a block whose
records are bad, the objects are searched for.

Nothing is written here: opening a pipeline, `coldpress inspect` and `coldpress fsck` begin with
this.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Mapping

import attrs

from coldpress.block import (
    HEADER_BYTES,
    RECORD_BYTES,
    BlockError,
    Head,
    claimed,
    read_copy,
    read_head,
    read_record,
)
from coldpress.errors import DeviceError, named_block
from coldpress.flat import reserve, table
from coldpress.limits import Limits
from coldpress.newest import Newest
from coldpress.rereading import (
    Readable,
    read_again,
    read_head_pages,
    read_piecemeal,
    unread,
)
from coldpress.roles.packer import KIND_WORD
from coldpress.salvage import Salvaged, salvage
from coldpress.sealing import Sealing
from coldpress.space import BlockSpace
from coldpress.superblock import Superblock

_PROBES = 64  # headers looked at for W before the others
_TOLD = 256  # blocks between two calls of the progress

Progress = Callable[[int, int], None]
"""Is called now and then with how many blocks were read, of how many."""


class State(enum.IntEnum):
    """What was found in a block."""

    UNUSED = 0
    """Its first page is zeros: it was never written, or is as if it had not been."""
    GOOD = 1
    """Header and records are as they were written."""
    TORN = 2
    """It is past W and not whole: its write was cut short, and it counts as never written."""
    SALVAGED = 3
    """Header or records are damaged, but all records were found in front of the objects."""
    PARTIAL = 4
    """Header or records are damaged, and some of the records may not have been found."""
    FOREIGN = 5
    """It was written by another pipeline, which was here before."""
    GARBAGE = 6
    """What is in it nobody knows; this pipeline has used no block from here on."""
    UNKNOWN = 7
    """It can not be read, and what records it has is not known."""
    WIPED = 8
    """Its first page is zeros, but behind it are records that are newer than any others, and that
    no opening has passed over."""
    REMAINS = 9
    """The same, but an opening came after these records: they count no more."""


class Scan:
    """Reads all blocks of `image`, tells `space` of them, and shows `newest` their records.

    Attributes: `states`, a `State` for each block by its number; `used`, how many blocks were used
    before, from the first to the last of them; `durable`, W; `sequence`, of the newest block;
    `epoch`, the latest that was found; `behind_zeros`, what counts in a block that is wiped;
    `torn`, the sequence of each block that is torn, by its offset.

    Notes: not thread-safe; it is run once.
    """

    def __init__(
        self,
        image: Readable,
        superblock: Superblock,
        space: BlockSpace,
        newest: Newest,
        sealing: Sealing,
        progress: Progress | None = None,
    ) -> None:
        self.states = table("B", space.count)
        self.torn: dict[int, int] = {}
        self.used = 0
        self.durable = self.sequence = superblock.durable
        self.epoch = superblock.epoch
        self.behind_zeros = self._limits = Limits.of(superblock)
        self._uuid = superblock.uuid
        self._page_size = superblock.page_size
        self._image = image
        self._space = space
        self._newest = newest
        self._sealing = sealing
        self._progress = progress or (lambda done, count: None)
        self._block = memoryview(reserve(space.block))
        self._zeros = bytes(self._page_size)
        self._guess = False

    def run(self, *, guess: bool = False) -> None:
        """Raises `DeviceError`, and `ConfigError` for what no entry type takes.

        A block that can not be read, and of which it is not known what records it has, is an error
        unless `guess`: it may have the newest of any slot.
        """
        space = self._space
        self._guess = guess
        blocks = range(space.start, space.start + space.count * space.block, space.block)
        for probe in range(_PROBES + 1 if blocks else 0):
            with contextlib.suppress(DeviceError):  # its turn comes again
                self._head(blocks[probe * (len(blocks) - 1) // _PROBES])
        for number, offset in enumerate(blocks):
            if number % _TOLD == 0:
                self._progress(number, len(blocks))
            state = self._scan(offset, last=False)
            self.states[number] = state
            if state != State.UNUSED:
                self.used = number + 1
        # Those that are damaged last: a sector of another block may be in them, and all that such a
        # block has is known by then.
        for state in (State.TORN, State.PARTIAL):
            for offset in self.having(state):
                self.states[space.number(offset)] = self._scan(offset, last=True)
        own = self.having(State.GOOD, State.SALVAGED, State.PARTIAL)
        for offset in self.having(State.GARBAGE):
            if own and offset < own[-1]:  # blocks are used one after the other, so this one was
                self.states[space.number(offset)] = State.PARTIAL
        self._progress(len(blocks), len(blocks))

    def look_behind_zeros(self, since: int) -> None:
        """Find blocks that are wiped, and take what is left in them; after `run`.

        An opening takes them for unused: it would have to read all of each. So what it passed over
        it knows nothing of, and slots that such records are of were served, emptied without a
        tombstone, and synced as if there were none. Hence only records from the epoch `since` on
        count, that of the last opening. Not for devices on which what was discarded may be zeros in
        part.
        """
        self.behind_zeros = attrs.evolve(self._limits, first_epoch=since, last_epoch=self.epoch)
        for number in range(self._space.count):
            offset = self._space.start + number * self._space.block
            state = State(self.states[number])
            if state == State.UNUSED:
                state = self._behind_zeros(offset)
                self.states[number] = state
            if number >= self.used:  # blocks are used one after the other
                if state == State.UNUSED:
                    break
                self.used = number + 1

    def having(self, *states: State) -> list[int]:
        """The offsets of the blocks in which one of these was found."""
        space = self._space
        numbers = (number for number, one in enumerate(self.states) if one in states)
        return [space.start + number * space.block for number in numbers]

    # -- a block ----------------------------------------------------------------------------

    def _scan(self, offset: int, *, last: bool) -> State:
        """Take what is in the block.

        Until the `last` look one past W is torn, and one that is damaged partial.
        """
        try:
            head = self._head(offset)
            if head is not None:
                return self._by_head(offset, head, last=last)
            # As `_head` left it; a block whose first page is zeros was never written, or voided.
            if self._block[: self._page_size] == self._zeros:
                return State.UNUSED
            if not last:
                return State.PARTIAL
            return self._salvage(offset, self._read(offset, self._space.block))
        except DeviceError as error:
            return self._piecemeal(offset, error, last=last)

    def _head(self, offset: int) -> Head | None:
        """The block's header, read with its records; None if none of this pipeline is whole."""
        pages = read_head_pages(self._image, offset, self._block, self._page_size)
        return self._checked(offset, pages)

    def _checked(self, offset: int, page: memoryview) -> Head | None:
        """The header and its records at the start of these pages, if they are ours and whole."""
        head = self._whole_head(page)
        if head is None or head.identity.uuid != self._uuid:
            return None
        if head.identity.number != self._space.number(offset):
            return None  # another block's: it went astray
        try:
            self._sealing.check(page, head)
            self._limits.check(page, head)
        except BlockError:
            return None
        self.durable = max(self.durable, head.identity.durable)
        self.sequence = max(self.sequence, head.identity.sequence)
        self.epoch = max(self.epoch, head.identity.epoch)
        return head

    def _by_head(
        self, offset: int, head: Head, *, last: bool, bad: Mapping[int, DeviceError] | None = None
    ) -> State:
        """Take the block by its records, which the buffer has.

        With `bad` it has all of the block, but for what `bad` says that can not be read.
        """
        if head.identity.sequence > self.durable:
            if not last:
                return State.TORN
            if bad is None:
                self._read(offset, head.pages * self._page_size)
                bad = {}
            if not self._is_whole(head, bad):
                self.torn[offset] = head.identity.sequence
                return State.TORN
        self._space.found(offset, head.identity.sequence, head.pages, head.payload)
        others = self._newest.take(offset, head, self._block)
        if bad is None and any(one.kind == KIND_WORD for one in others):
            self._read(offset, head.pages * self._page_size)
        for record in others:
            self._newest.take_record(offset, record.place, record, self._block)
        return State.GOOD

    def _is_whole(self, head: Head, bad: Mapping[int, DeviceError]) -> bool:
        """Whether all that the header tells of is there, as far as the buffer has it."""
        block = self._block
        for number in range(head.count):
            record = read_record(block, HEADER_BYTES + number * RECORD_BYTES)
            end = record.place + RECORD_BYTES + record.length
            if unread(bad, record.place, end, self._page_size) is not None:
                continue
            try:
                read_copy(block, record.place, record, head.identity.sequence)
                self._sealing.opened(block[record.place :], record.place)
            except BlockError:
                return False
        return True

    def _piecemeal(self, offset: int, error: DeviceError, *, last: bool) -> State:
        """The same for a block that can not be read in one: often it is but a sector of it."""
        block = self._block
        bad = read_piecemeal(self._image, offset, block, self._page_size)
        if 0 not in bad:
            if block[: self._page_size] == self._zeros:
                return State.UNUSED
            readable = block[: min(bad, default=len(block))]
            head = self._checked(offset, readable)
            if head is not None:
                return self._by_head(offset, head, last=last, bad=bad)
        if not last:
            return State.PARTIAL
        state = self._salvage(offset, block)
        if not bad or state == State.SALVAGED or (state != State.PARTIAL and 0 not in bad):
            return state
        if self._guess:
            return State.UNKNOWN
        where = named_block(0, self._space.number(offset))
        error = next(iter(bad.values()), error)
        raise DeviceError(
            f"{where}, device offset {offset}: it can not be read, and which slots it has is not "
            f"known: {error}; `coldpress fsck --repair` gives it up"
        ) from error

    def _salvage(self, offset: int, block: memoryview) -> State:
        """Take the records that can still be told from the block's bytes."""
        head = self._whole_head(block)
        if head is not None and head.identity.uuid != self._uuid:
            return State.FOREIGN  # another pipeline's, so its objects are not ours
        found = self._found(offset, block, self._limits)
        self.epoch = max(self.epoch, found.epoch)
        if not found.records:
            claim = claimed(block)
            ours = claim is not None and claim.identity.uuid == self._uuid
            return State.PARTIAL if ours else State.GARBAGE
        self._take(offset, found, block)
        # Under another block's header, all of that one may have been found, and nothing of its own.
        astray = head is not None and head.identity.number != self._space.number(offset)
        return State.SALVAGED if found.complete and not astray else State.PARTIAL

    def _behind_zeros(self, offset: int) -> State:
        """Whether a block of which the first page is zeros is wiped: then its records are taken."""
        try:
            block = self._read(offset, self._space.block)
        except DeviceError:
            return State.UNUSED
        if not any(bytes(block)):
            return State.UNUSED
        found = self._found(offset, block, self.behind_zeros)
        if self._has_newest(found):
            self._take(offset, found, block)
            return State.WIPED
        remains = self._has_newest(self._found(offset, block, self._limits))
        return State.REMAINS if remains else State.UNUSED

    def _found(self, offset: int, block: memoryview, limits: Limits) -> Salvaged:
        """The records that can still be told from the block's bytes."""
        number = self._space.number(offset)
        return salvage(block, number, limits, self._sealing, self._newest.lacks)

    def _has_newest(self, found: Salvaged) -> bool:
        return any(self._newest.lacks(record) for _, record in found.records)

    def _take(self, offset: int, found: Salvaged, block: memoryview) -> None:
        payload = sum(record.room for _, record in found.records)
        self._newest.salvaged.add(offset)
        self._space.found(offset, found.stamp, self._space.block // self._page_size, payload)
        for at, record in found.records:
            self._newest.take_record(offset, at, record, block)

    def _whole_head(self, block: memoryview) -> Head | None:
        """The header and records that stand there, whoever's they are, if they are whole."""
        try:
            return read_head(block, self._page_size)
        except BlockError:
            return None

    # -- the device -------------------------------------------------------------------------

    def _read(self, offset: int, size: int) -> memoryview:
        """So much of the block, at the start of the one buffer."""
        part = self._block[:size]
        read_again(self._image, offset, part)
        return part
