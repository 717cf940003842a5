"""`coldpress fsck`: whether an image is as it was written, and its repair."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import attrs

from coldpress.cli import images, workload
from coldpress.cli.output import print_table
from coldpress.errors import ConfigError
from coldpress.fsck import CHECKED, Finding, of_block, of_blocks, of_superblocks
from coldpress.harness.errors import InputError
from coldpress.harness.interrupt import Interrupt
from coldpress.harness.progress import Progress
from coldpress.image import Image, read_persistent
from coldpress.repair import Repaired, repair
from coldpress.survey import Look, Survey

_DESCRIPTION = """\
Read all of a persistent image and verify every checksum: superblocks, headers, records, objects.
Each thing that is not as it was written is told with its block, its offset on the device, the slots
that it is about, and what it means. Nothing is written without --repair.

With --repair, slots of which the newest page is lost are emptied, and told; what is good in
damaged blocks is stored anew; then these blocks are cleared. No older page of a slot comes back,
unless a block is given up of which nobody knows what it had: then that is told."""

_EPILOG = """\
examples:
  coldpress fsck cold.img
  coldpress fsck cold.img --json
  coldpress fsck /dev/nvme0n1p3 --repair
  coldpress fsck cold.img --key cold.key

exit status: 0 nothing is damaged, or all that was is repaired and nothing was lost, 1 something is
damaged, or was lost or could not be repaired, 2 the call is wrong, or the image is in use,
130 stopped by Ctrl-C (what was found, and done so far, is printed)"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "fsck",
        help="verify every checksum of a persistent image, and repair it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    images.add_options(parser)
    parser.add_argument(
        "--repair", action="store_true", help="drop what is lost and save what is good"
    )


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `InputError`, `ColdpressError`."""
    report = _Report(args.image)
    try:
        with (
            images.usable(),
            Progress(workload.shows_progress(args)) as progress,
            Image(args.image) as image,
        ):
            _carry_out(args, image, progress, report)
    except (InputError, ConfigError):  # nothing was changed
        raise
    except BaseException:
        if report.repaired is not None:  # what is lost is known by now, and is told once only
            report.show(args.json)
        raise
    report.show(args.json)
    return report.status


def _carry_out(args: argparse.Namespace, image: Image, progress: Progress, report: _Report) -> None:
    found = read_persistent(image, args.key)
    survey = Survey(image, found, progress.reading)
    report.findings += of_superblocks(found, image.size)
    looks: list[Look] = []
    report.blocks = len(list(survey.numbers(*CHECKED)))
    progress.phase("verifying", report.blocks)
    for look, its in of_blocks(survey, progress.advance):
        looks.append(look)
        report.findings += its
    if args.repair and report.findings:  # what is no damage is cleared away, too
        report.repaired = Repaired()
        with Interrupt() as stop:
            done, again = report.repaired, report.looked_again
            repair(image, found, looks, args.key, progress.reading, stop, done, again)


@attrs.define
class _Report:
    """What was found and done."""

    image: str
    blocks: int = 0
    findings: list[Finding] = attrs.field(factory=list)
    repaired: Repaired | None = None

    def looked_again(self, looks: Sequence[Look]) -> None:
        """What could not be read was read once more: of the blocks, this is what counts."""
        unread = {one.block for one in self.findings if one.kind == "unreadable"}
        self.findings = [one for one in self.findings if one.block is None]
        for look in looks:
            if look.number in unread and not look.unreadable:
                text = "something in it could not be read at first, but was read for the repair"
                self.findings.append(Finding("unreadable", text, look.number, look.offset))
            self.findings += of_block(look)

    @property
    def lost(self) -> list[int]:
        """The slots whose pages are lost."""
        return sorted({slot for one in self.findings for slot in one.slots})

    @property
    def unknown(self) -> list[int]:
        """The blocks of which it is not known what they had."""
        return [one.block for one in self.findings if one.unknown and one.block is not None]

    @property
    def loses(self) -> bool:
        """Whether something is lost, or may be."""
        return any(one.slots or one.unknown for one in self.findings)

    @property
    def damaged(self) -> bool:
        """Whether something is."""
        return any(one.is_damage for one in self.findings)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.repaired is not None:
            return 1 if self.loses or self.repaired.refused else 0
        return 1 if self.damaged else 0

    def show(self, as_json: bool) -> None:
        """Print it."""
        self._print_json() if as_json else self._print()

    def _print(self) -> None:
        """For a person, or for grep."""
        print_table(["what", "block", "offset", "what it means"], map(_row, self.findings))
        print(f"{self.image}: {self.blocks} blocks verified, {self._verdict()}")

    def _verdict(self) -> str:
        if not self.damaged and self.repaired is None:
            return "nothing is damaged"
        slots = "slot" if len(self.lost) == 1 else "slots"
        lost = f"{len(self.lost)} {slots} lost" if self.lost else "no slot is known to be lost"
        if self.unknown:
            lost += f", what was in blocks {', '.join(map(str, self.unknown))} is not known"
        if self.repaired is None:
            return f"damaged: {lost}; --repair clears it away"
        done = self.repaired
        left = f", {done.refused} could not be emptied" if done.refused else ""
        what = f"{done.moved} moved, {done.voided} blocks cleared{left}"
        if done.finished:
            return f"repaired: {lost}, {what}"
        return f"repair not finished: {lost}, {len(done.lost)} emptied, {what}; run it again"

    def _print_json(self) -> None:
        """One object."""
        findings = [attrs.asdict(one) | {"damage": one.is_damage} for one in self.findings]
        result = {
            "image": self.image,
            "blocks": self.blocks,
            "damaged": self.damaged,
            "findings": findings,
            "lost_slots": self.lost,
            "unknown_blocks": self.unknown,
            "repaired": attrs.asdict(self.repaired) if self.repaired is not None else None,
        }
        print(json.dumps(result, indent=2))


def _row(one: Finding) -> tuple[str, str, str, str]:
    return one.kind, "" if one.block is None else str(one.block), str(one.offset), one.text
