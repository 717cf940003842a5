"""Every checksum of a persistent image, and what it means if one is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from coldpress.image import Persistent
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE
from coldpress.scan import State
from coldpress.survey import Look, Seen, Survey

Kind = Literal[
    "superblock",
    "short",
    "torn",
    "remains",
    "dead",
    "unreadable",
    "records",
    "wiped",
    "header",
    "object",
    "superseded",
    "copy",
    "stray",
]

HARMLESS: tuple[Kind, ...] = ("torn", "remains", "dead")
"""What is no damage: a crash leaves it, and no opening gives what is in it."""

CHECKED = (
    State.GOOD,
    State.TORN,
    State.SALVAGED,
    State.PARTIAL,
    State.UNKNOWN,
    State.WIPED,
    State.REMAINS,
)
"""The blocks in which there is something to check."""


@attrs.frozen
class Finding:
    """One thing that is not as it was written.

    Attributes: `kind`; `text`, what it means; `block` and `offset`, its number and the place on the
    device, None for a superblock's block; `slots`, those that lose what they had by it; `unknown`,
    whether there may be others.
    """

    kind: Kind
    text: str
    block: int | None
    offset: int
    slots: tuple[int, ...] = ()
    unknown: bool = False

    @property
    def is_damage(self) -> bool:
        """Whether it is worth an exit status."""
        return self.kind not in HARMLESS


def of_superblocks(found: Persistent, size: int) -> Iterator[Finding]:
    """What is wrong with one of them, one is whole; or with the image, of `size` bytes."""
    for area in found.areas:
        if area.superblock is None:
            text = f"superblock {area.name} is damaged ({area.problem}); the other one counts"
            yield Finding("superblock", text, None, area.offset)
    wanted = found.superblock.size
    if size < wanted:
        text = f"the image has {size} bytes and not {wanted}: what was behind them is lost"
        yield Finding("short", text, None, size, unknown=True)


def of_blocks(survey: Survey, step: Callable[[int], None]) -> Iterator[tuple[Look, list[Finding]]]:
    """Each block in which something is wrong. `step` is called for each that was looked at."""
    for number in survey.numbers(*CHECKED):
        look = survey.look(number)
        findings = list(of_block(look))
        if findings:
            yield look, findings
        step(1)


def of_block(look: Look) -> Iterator[Finding]:
    """What is wrong in a block."""
    count = len(look.seen)
    if look.state == State.TORN:
        yield _finding(look, "torn", "its write was cut short: it counts as never written")
        return
    if look.state == State.REMAINS:
        text = (
            "its first page is zeros, and the records behind it are of before the last opening, "
            "which took the block for unused: they count as never written"
        )
        yield _finding(look, "remains", text)
        return
    if look.state == State.UNKNOWN:
        why = next(iter(look.unreadable.values()), "it can be read again")
        text = (
            f"can not be read, and which slots it has is not known ({why}): no pipeline opens the "
            f"image; given up, its slots have an older version or nothing, but for {count} "
            "records that were found"
        )
        yield _finding(look, "unreadable", text, unknown=True)
    elif look.unreadable:
        yield _finding(look, "unreadable", f"{len(look.unreadable)} of its pages can not be read")
    if look.state == State.PARTIAL:
        text = (
            f"header or records are damaged; {count} records were found, there may have been "
            "others, whose slots have an older version or nothing, or its write was cut short"
        )
        yield _finding(look, "records", text, unknown=True)
    elif look.state == State.WIPED:
        text = (
            f"its first page is zeros, so an opening takes it for unused, but {count} records are "
            "behind it, with the newest of some slots; there may have been others"
        )
        yield _finding(look, "wiped", text, unknown=True)
    elif look.state == State.SALVAGED:
        text = f"header or records are damaged; all its {count} records were found, none is lost"
        yield _finding(look, "header", text)
    if look.state == State.GOOD and not look.unreadable and not any(one.slots for one in look.seen):
        # It is free: the next write may go there, and a crash cut it short behind the old header.
        # In a block of which anything counts nobody writes, so there the same is damage.
        if look.stray or any(one.problem for one in look.seen):
            text = (
                "no slot needs anything in it, and a write over it was cut short, or it is damaged"
            )
            yield _finding(look, "dead", text)
        return
    for seen in look.seen:
        if seen.problem:
            yield _of_record(look, seen)
    if look.stray:
        text = "behind the last object there is something: no load looks at it"
        yield Finding("stray", text, look.number, look.offset + look.stray)


def _of_record(look: Look, seen: Seen) -> Finding:
    offset = look.offset + seen.record.place
    if not seen.slots:
        slots = _named(range(seen.record.slot, seen.record.slot + (1 << seen.record.order)))
        text = f"{seen.problem}: an older version of {slots}, which nothing needs"
        return Finding("superseded", text, look.number, offset)
    slots = _named(seen.slots)
    if seen.record.kind == KIND_TOMBSTONE:
        text = f"{seen.problem}: {slots} is empty, and stays so"
        return Finding("copy", text, look.number, offset)
    if seen.rescued:
        text = f"{seen.problem}: no load gives {slots}, but the object is whole"
        return Finding("copy", text, look.number, offset)
    what = "page" if seen.record.kind == KIND_OBJECT else "fill word"
    text = f"{seen.problem}: the {what} of {slots} is lost"
    return Finding("object", text, look.number, offset, seen.slots)


def _finding(look: Look, kind: Kind, text: str, *, unknown: bool = False) -> Finding:
    return Finding(kind, text, look.number, look.offset, unknown=unknown)


def _named(slots: range | tuple[int, ...]) -> str:
    """Slots as a text: "slot 7", "slots 8, 9"."""
    if len(slots) == 1:
        return f"slot {slots[0]}"
    if list(slots) == list(range(slots[0], slots[-1] + 1)):
        return f"slots {slots[0]} to {slots[-1]}"
    return f"slots {', '.join(map(str, slots))}"
