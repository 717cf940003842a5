"""What a persistent image has, as figures and as records."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import attrs

from coldpress.block import BlockError, Head, read_head
from coldpress.errors import DeviceError
from coldpress.flat import reserve
from coldpress.image import Image, Persistent
from coldpress.layout import SUPERBLOCKS
from coldpress.mark import Mark, read_mark
from coldpress.rereading import read_again, read_head_pages
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE, KIND_WORD
from coldpress.scan import State
from coldpress.superblock import COMPRESSOR, Superblock
from coldpress.survey import Look, Seen, Survey

KINDS = {KIND_OBJECT: "object", KIND_WORD: "word", KIND_TOMBSTONE: "tombstone"}
_TENTHS = 10


@attrs.define
class Span:
    """From the least to the greatest of some numbers, or nothing."""

    least: int | None = None
    greatest: int | None = None

    def add(self, number: int) -> None:
        """It reaches at least to this one."""
        self.least = number if self.least is None else min(self.least, number)
        self.greatest = number if self.greatest is None else max(self.greatest, number)


@attrs.define
class Blocks:
    """What the blocks have together.

    Attributes: `count`; `states`, how many are in each state, by its name, those in use apart from
    those with no live bytes ("dead"); `live_bytes`, `dead_bytes`, of objects; `written_bytes`, of
    the pages that were written; `fill`, how many blocks in use are live to so many tenths, from 0
    to under 10 % on; `sequences` and `epochs` of the blocks whose headers are whole; `oldest_age`
    and `median_age`, how many blocks were written after those of them that have live records, None
    if there is none.
    """

    count: int = 0
    states: dict[str, int] = attrs.field(factory=dict)
    live_bytes: int = 0
    dead_bytes: int = 0
    written_bytes: int = 0
    fill: list[int] = attrs.field(factory=lambda: [0] * _TENTHS)
    sequences: Span = attrs.field(factory=Span)
    epochs: Span = attrs.field(factory=Span)
    oldest_age: int | None = None
    median_age: int | None = None


def of_blocks(survey: Survey, image: Image, step: Callable[[int], None]) -> Blocks:
    """Read each header once more. `step` is called for each block."""
    space, one = survey.space, survey.superblock
    found = Blocks(space.count)
    page = memoryview(reserve(space.block))
    ages = []
    for number, code in enumerate(survey.scan.states):
        state, offset = State(code), survey.offset(number)
        step(1)
        live, payload = space.live(offset), space.payload(offset)
        name = "dead" if state == State.GOOD and not live else state.name.lower()
        found.states[name] = found.states.get(name, 0) + 1
        found.live_bytes += live
        found.dead_bytes += payload - live
        if live:
            found.fill[min(live * _TENTHS // space.block, _TENTHS - 1)] += 1
        if state == State.GOOD:
            head = _head(image, offset, page, one.page_size)
            if head is not None:
                found.written_bytes += head.pages * one.page_size
                found.sequences.add(head.identity.sequence)
                found.epochs.add(head.identity.epoch)
                if live:
                    ages.append(_age(survey, head))
    if ages:
        found.oldest_age, found.median_age = max(ages), statistics.median_low(ages)
    return found


def _age(survey: Survey, head: Head) -> int:
    """How many blocks were written after the one with this header."""
    return survey.scan.sequence - head.identity.sequence


def superblocks(found: Persistent) -> list[dict[str, Any]]:
    """A row for each of the two areas."""
    rows = []
    for area in found.areas:
        one = area.superblock
        row: dict[str, Any] = {"name": area.name, "offset": area.offset}
        if one is None:
            row |= {"state": "damaged", "problem": area.problem}
        else:
            row |= {
                "state": "counts" if one is found.superblock else "older",
                "generation": one.generation,
                "epoch": one.epoch,
                "durable": one.durable,
                "ids": len(one.ids),
            }
        rows.append(row)
    return rows


def identity(one: Superblock) -> dict[str, Any]:
    """What the superblock that counts says of the whole image."""
    return {
        "page_size": one.page_size,
        "block": one.block,
        "slots": one.slots,
        "size": one.size,
        "uuid": one.uuid.hex(),
        "generation": one.generation,
        "epoch": one.epoch,
        "first_epoch": one.first_epoch,
        "durable": one.durable,
        "encrypted": one.encrypted,
    }


def ids(one: Superblock) -> list[dict[str, Any]]:
    """A row for each id that records may have."""
    return [
        {
            "id": known.id,
            "kind": "compressor" if known.kind == COMPRESSOR else "entry type",
            "name": known.name,
            "options": known.options,
            "data_bytes": len(known.data),
        }
        for known in one.ids
    ]


def block_row(survey: Survey, look: Look) -> dict[str, Any]:
    """What a block's header says, and its records."""
    row: dict[str, Any] = {
        "block": look.number,
        "offset": look.offset,
        "state": look.state.name.lower(),
        "live_bytes": survey.space.live(look.offset),
        "unreadable_pages": [at // survey.superblock.page_size for at in look.unreadable],
    }
    if look.head is not None:
        one = look.head
        row["header"] = {
            "epoch": one.identity.epoch,
            "sequence": one.identity.sequence,
            "age": _age(survey, one),
            "durable": one.identity.durable,
            "pages": one.pages,
            "records": one.count,
            "object_bytes": one.payload,
            "encrypted": one.encrypted,
        }
    row["records"] = [record_row(survey, look, seen) for seen in look.seen]
    return row


def record_row(survey: Survey, look: Look, seen: Seen) -> dict[str, Any]:
    """A record; what is wrong with it is `problem`."""
    record = seen.record
    compressor = record.kind == KIND_OBJECT
    names = {(known.kind == COMPRESSOR, known.id): known.name for known in survey.superblock.ids}
    codec = names.get((compressor, record.codec), str(record.codec))
    if compressor and not record.codec:
        codec = "stored"
    return {
        "slot": record.slot,
        "order": record.order,
        "kind": KINDS.get(record.kind, str(record.kind)),
        "codec": "" if record.kind == KIND_TOMBSTONE else codec,
        "length": record.length,
        "sequence": record.sequence,
        "block": look.number,
        "offset": look.offset + record.place,
        "live_slots": list(seen.slots),
        "problem": seen.problem,
    }


def slot_rows(survey: Survey, slot: int, step: Callable[[int], None]) -> list[dict[str, Any]]:
    """All records of a slot, newest first, in all blocks that have any. `step` as above."""
    rows = []
    for number in range(survey.space.count):
        step(1)
        if survey.scan.states[number] in (State.UNUSED, State.FOREIGN, State.GARBAGE):
            continue
        look = survey.look(number)
        for seen in look.seen:
            first = seen.record.slot
            if first <= slot < first + (1 << seen.record.order):
                row = record_row(survey, look, seen)
                row["counts"] = slot in seen.slots
                row["why"] = _why(look, seen, slot)
                rows.append(row)
    order = ("sequence", "counts")
    return sorted(rows, key=lambda row: tuple(row[key] for key in order), reverse=True)


def _why(look: Look, seen: Seen, slot: int) -> str:
    """Why a record counts or does not."""
    if look.state == State.TORN:
        return "its block's write was cut short"
    if slot not in seen.slots:
        return "superseded"
    if seen.problem:
        return "newest, but damaged"
    return "newest: the slot is empty" if seen.record.kind == KIND_TOMBSTONE else "newest"


def forgetful(image: Image) -> tuple[Mark | None, int, int]:
    """What an image says that nobody reads again; how many blocks it has, how many with headers."""
    page = memoryview(reserve(4096))
    read_again(image, 0, page)
    mark = read_mark(page)
    if mark is None:
        return None, 0, 0
    count = max(0, (image.size - SUPERBLOCKS * mark.page_size) // mark.block)
    block = memoryview(reserve(mark.block))
    written = 0
    for number in range(count):
        offset = SUPERBLOCKS * mark.page_size + number * mark.block
        head = _head(image, offset, block, mark.page_size)
        written += head is not None and head.identity.uuid == mark.uuid
    return mark, count, written


def _head(image: Image, offset: int, buffer: memoryview, page_size: int) -> Head | None:
    """The block's header, if it and the records are whole."""
    try:
        return read_head(read_head_pages(image, offset, buffer, page_size), page_size)
    except (BlockError, DeviceError):
        return None
