"""What is left of a block with damaged header or records.

Each record stands twice, in the table behind the header and in front of its object, and its
checksum covers its own bytes and the object's. So one is as it was written if either copy and the
object give its checksum, or if both copies say the same, whatever became of the object.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

import attrs

from coldpress.block import (
    EPOCH_AT,
    HEADER_BYTES,
    PLACE_MASK,
    RECORD_BYTES,
    BlockError,
    Head,
    Record,
    claimed,
    object_crc,
    read_object,
    read_record,
)
from coldpress.folio import MAX_ORDER
from coldpress.limits import Limits
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE
from coldpress.sealing import Sealing

_TRIES = 64
"""So many times its own bytes are checksummed in a block, and no more. Honest damage takes about
one; a block made for it would have records everywhere, each with a large object."""

_NONE: Mapping[int, Record] = {}
_BYTE = 7  # of a record, that of kind and order
_KIND_AND_ORDER = re.compile(
    b"[%s]"
    % re.escape(
        bytes(
            order << 4 | kind
            for kind in range(KIND_OBJECT, KIND_TOMBSTONE + 1)
            for order in range(MAX_ORDER + 1)
        )
    )
)


@attrs.frozen
class Salvaged:
    """The records that were found.

    Attributes: `records`, each with its place in the block; `stamp`, the low 24 bits of the block's
    sequence, which those of its own have; `complete`, whether it is sure that it had no others;
    `epoch`, the latest that any has, also of those that are passed over, or 0.
    """

    records: list[tuple[int, Record]]
    stamp: int
    complete: bool
    epoch: int


class _Trials:
    """How many bytes may still be checksummed to see whether they are an object."""

    def __init__(self, left: int) -> None:
        self._left = left

    def allow(self, length: int) -> bool:
        """Whether so many more may be; then they are counted."""
        self._left -= length
        return self._left >= 0


def salvage(
    block: memoryview,
    number: int,
    limits: Limits,
    sealing: Sealing,
    lacks: Callable[[Record], bool],
) -> Salvaged:
    """The records that are as they were written, in the block of this number.

    `lacks` tells whether a record is newer than what is known of its slots. O(bytes), slow: for
    blocks that are damaged.
    """
    trials = _Trials(_TRIES * len(block))
    known = _without_table(dict(_inline(block, limits, sealing, trials)), len(block))
    tabled = _tabled(block, min(known, default=len(block)), limits, sealing, trials)
    stamped = {at: one for at, one, agrees in tabled if agrees} | known
    if not stamped and not tabled:
        return Salvaged([], 0, False, 0)
    claim = claimed(block)
    stamp = _stamp(claim, number, stamped.values(), lacks)
    own = _apart({at: one for at, one in stamped.items() if one.place == stamp})
    # Another block's table may have come here: its records are of places where others stand.
    told = {at: attrs.evolve(one, place=stamp) for at, one, _ in tabled if at not in stamped}
    own |= _apart(told, own)
    # What went astray from a block where it is not known any more: a load will tell.
    others = {at: one for at, one in stamped.items() if one.place != stamp and lacks(one)}
    others = _apart(others)
    complete = _is_complete(claim, sorted(own.items()))
    newest = max(one.sequence for one in (*stamped.values(), *(one for _, one, _ in tabled)))
    return Salvaged(sorted((others | own).items()), stamp, complete, newest >> EPOCH_AT)


def _apart(found: dict[int, Record], beside: Mapping[int, Record] = _NONE) -> dict[int, Record]:
    """Without those that share bytes with the one before, or one of `beside`, which are apart.

    No block was written so.
    """
    apart: dict[int, Record] = {}
    places, end = sorted(beside), 0
    for at, record in sorted(found.items()):
        number = bisect(places, at)  # of the first that begins later
        begins = max(end, _end(places[number - 1], beside) if number else 0)
        ends = places[number] if number < len(places) else _end(at, found)
        if begins <= at and _end(at, found) <= ends:
            apart[at] = record
            end = _end(at, found)
    return apart


def _end(at: int, found: Mapping[int, Record]) -> int:
    """Behind the object of the record that stands there."""
    return at + RECORD_BYTES + found[at].length


def _stamp(
    claim: Head | None,
    number: int,
    stamped: Collection[Record],
    lacks: Callable[[Record], bool],
) -> int:
    """Which stamp is the block's: others are of records that are not, or never were, its own.

    A write that was cut short leaves records of before it, of which newer ones are known. A sector
    that went astray has another block's: they are known too, or the header tells which they are.
    """
    says = claim.identity.sequence & PLACE_MASK if claim is not None else -1
    if not stamped:  # each copy that would have it is damaged
        return max(says, 0)
    here = claim is not None and claim.identity.number == number
    newest = max(stamped, key=lambda one: (lacks(one), (one.place == says) == here, one.sequence))
    return newest.place


def _without_table(known: dict[int, Record], size: int) -> dict[int, Record]:
    """These but for tombstones in the table: without an object they read like their copies.

    What would be their stamp is where the copy is: behind all of the table, and, should the copy be
    damaged, no other's stamp.
    """
    shared = Counter(one.place for one in known.values())
    found, end = {}, size
    for at, one in known.items():
        copy = known.get(one.place)
        if one.length or not at < one.place < size:
            found[at] = one
        elif (copy is not None and attrs.evolve(copy, place=one.place) == one) or (
            at < end and shared[one.place] == 1
        ):
            end = min(end, one.place)
        else:
            found[at] = one
    return found


def _inline(
    block: memoryview, limits: Limits, sealing: Sealing, trials: _Trials
) -> Iterator[tuple[int, Record]]:
    """Records that stand in front of undamaged objects."""
    at = 0
    last = len(block) - RECORD_BYTES
    while (found := _KIND_AND_ORDER.search(block, at + _BYTE, last + _BYTE + 1)) is not None:
        at = found.start() - _BYTE
        record = read_record(block, at)
        if limits.is_possible(record) and trials.allow(record.length):
            try:
                read_object(block[at:], record.slot, record.length, record.place, kind=record.kind)
                sealing.opened(block[at:], at)
            except BlockError:
                pass
            else:
                yield at, record
                at += RECORD_BYTES + record.length
                continue
        at += 1


def _tabled(
    block: memoryview, end: int, limits: Limits, sealing: Sealing, trials: _Trials
) -> list[tuple[int, Record, bool]]:
    """Records of a table that ends before `end`, of which the copy or the object is undamaged.

    Each with its place; with True if the copy is, which gives it its stamp.
    """
    found = []
    for at in range(HEADER_BYTES, end - RECORD_BYTES + 1, RECORD_BYTES):
        record = read_record(block, at)
        body = record.place + RECORD_BYTES
        if not at < record.place <= len(block) - RECORD_BYTES - record.length:
            continue
        if not limits.is_possible(record):
            continue
        rest = block[body : body + record.length]
        copy = read_record(block, record.place)
        if attrs.evolve(copy, place=record.place) == record:
            # Without an object that can be opened, this may be a forgery. Then it is as good as
            # damage, for a load will tell; but not as a tombstone.
            if sealing.cipher is None or record.kind != KIND_TOMBSTONE:
                found.append((record.place, copy, True))
        elif (
            sealing.cipher is None
            and trials.allow(record.length)
            and object_crc(record, rest) == record.crc
        ):
            found.append((record.place, record, False))
    return found


def _is_complete(claim: Head | None, found: list[tuple[int, Record]]) -> bool:
    """Whether the block can have no other records than these."""
    first, _ = found[0]
    # The table ends before the first object: that may leave room for just these.
    if (first - HEADER_BYTES) // RECORD_BYTES == len(found):
        return True
    # The header may be damaged, but hardly so that it tells of others, and of just these.
    payload = sum(record.room for _, record in found)
    return claim is not None and (claim.count, claim.payload) == (len(found), payload)
