"""`coldpress inspect`: what an image has, without a pipeline file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import attrs

from coldpress import inspect
from coldpress.block import EPOCH_AT
from coldpress.cli import images, workload
from coldpress.cli.output import print_table, say
from coldpress.harness.errors import InputError
from coldpress.harness.progress import Progress
from coldpress.image import Image, is_forgetful, read_persistent
from coldpress.survey import Survey
from coldpress.units import format_size, human_size

_DESCRIPTION = """\
Look at the image of a persistent pipeline, a file or a block device, that no pipeline has open:
both superblocks and the ids that records have, the blocks by state, by how full and how old they
are, and what the slots hold. --block shows a block's header and records, --slot all records of a
slot and which of them counts. Of an image that a pipeline without persistence has left, what nobody
reads again is shown. Nothing is ever written."""

_EPILOG = """\
states of blocks: unused; good (in use); dead (nothing in it is live); torn (its write was cut
short); salvaged (header or records damaged, all records found); partial (perhaps not all); foreign
(another pipeline's); garbage (nobody's); unknown (can not be read); wiped (its first page is zeros,
its records are not); remains (the same, of before the last opening). `coldpress fsck` tells more.

examples:
  coldpress inspect cold.img
  coldpress inspect cold.img --slot 7
  coldpress inspect cold.img --block 12 --json
  coldpress inspect /dev/nvme0n1p3 --key cold.key

exit status: 0 done, 1 it can not be read or both superblocks are damaged, 2 the call is wrong, the
image is none of coldpress's, or it is in use"""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]

_COUNTER = (1 << EPOCH_AT) - 1
_RECORD_COLUMNS = ("slot", "order", "kind", "codec", "length", "sequence", "offset")


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a persistent image has",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    images.add_options(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--block", type=int, metavar="N", help="show this block and its records")
    what.add_argument("--slot", type=int, metavar="N", help="show all records of this slot")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `InputError`, `ColdpressError`."""
    with (
        images.usable(),
        Progress(workload.shows_progress(args)) as progress,
        Image(args.image) as image,
    ):
        if is_forgetful(image):
            result = _forgetful(args, image)
            tables: list[Table] = [(("figure", "value"), _plain(result))]
        else:
            result, tables = _look(args, image, progress)
    if args.json:
        print(json.dumps({"image": args.image, **result}, indent=2))
    else:
        for columns, rows in tables:
            print_table(columns, rows)
        if args.slot is not None and not result["records"]:
            say(f"coldpress: slot {args.slot} has no records")
    return 0


def _look(
    args: argparse.Namespace, image: Image, progress: Progress
) -> tuple[dict[str, Any], list[Table]]:
    """What the call asks for, for JSON and as tables."""
    found = read_persistent(image, args.key)
    survey = Survey(image, found, progress.reading)
    count = survey.space.count
    if args.block is not None:
        if not 0 <= args.block < count:
            raise InputError(f"--block {args.block}: the image has blocks 0 to {count - 1}")
        row = inspect.block_row(survey, survey.look(args.block))
        return row, _block_tables(row)
    progress.phase("reading blocks", count)
    if args.slot is not None:
        if not 0 <= args.slot < found.superblock.slots:
            last = found.superblock.slots - 1
            raise InputError(f"--slot {args.slot}: the image has slots 0 to {last}")
        rows = inspect.slot_rows(survey, args.slot, progress.advance)
        return {"slot": args.slot, "records": rows}, [_slot_table(rows)]
    blocks = inspect.of_blocks(survey, image, progress.advance)
    result = {
        "persistent": True,
        "superblock": inspect.identity(found.superblock),
        "superblocks": inspect.superblocks(found),
        "ids": inspect.ids(found.superblock),
        "durable": survey.scan.durable,
        "blocks": attrs.asdict(blocks),
        "slots": attrs.asdict(survey.slots),
    }
    return result, _tables(result)


def _forgetful(args: argparse.Namespace, image: Image) -> dict[str, Any]:
    if args.block is not None or args.slot is not None:
        raise InputError(f"{image.path} is not persistent: nobody reads its blocks again")
    mark, count, written = inspect.forgetful(image)
    result: dict[str, Any] = {"persistent": False}
    if mark is not None:
        fields = attrs.asdict(mark) | {"uuid": mark.uuid.hex()}
        result |= {**fields, "blocks": count, "blocks_with_headers": written}
    return result


def _plain(result: dict[str, Any]) -> list[tuple[str, str]]:
    note = "left by a pipeline that is not persistent; nobody reads it again"
    rows = [("image", note)]
    if len(result) == 1:
        return [*rows, ("superblock", "damaged")]
    return [*rows, *((key, str(value)) for key, value in result.items() if key != "persistent")]


def _tables(result: dict[str, Any]) -> list[Table]:
    one, blocks, slots = result["superblock"], result["blocks"], result["slots"]
    figures = [
        ("image", f"{format_size(one['size'])}, persistent{_encrypted(one)}"),
        ("uuid", one["uuid"]),
        ("page size", format_size(one["page_size"])),
        ("block", format_size(one["block"])),
        ("epoch", f"{one['epoch']}, formatted in {one['first_epoch']}"),
        ("durable", f"every block up to sequence {result['durable']}"),
        (
            "slots",
            f"{slots['objects'] + slots['folio_pages'] + slots['words']:,} of "
            f"{one['slots']:,} hold a page: {slots['objects']:,} objects, "
            f"{slots['folio_pages']:,} in folios, {slots['words']:,} words",
        ),
        ("tombstones", f"{slots['tombstones']:,}"),
        ("live", human_size(blocks["live_bytes"])),
        ("dead", human_size(blocks["dead_bytes"])),
        ("written", f"{human_size(blocks['written_bytes'])} in whole pages"),
        ("block sequences", _span(blocks["sequences"])),
        ("block epochs", _span(blocks["epochs"])),
        ("block ages", _ages(blocks)),
    ]
    areas = [
        (
            f"superblock {row['name']}",
            str(row["offset"]),
            row["state"],
            row.get("problem")
            or f"generation {row['generation']}, epoch {row['epoch']}, "
            f"durable {row['durable']}, {row['ids']} ids",
        )
        for row in result["superblocks"]
    ]
    ids = [(f"id {row['id']}", row["kind"], row["name"], _options(row)) for row in result["ids"]]
    states = [("blocks", name, f"{count:,}") for name, count in sorted(blocks["states"].items())]
    fill = [
        ("live share", f"{10 * tenth}% to {10 * tenth + 10}%", f"{count:,}")
        for tenth, count in enumerate(blocks["fill"])
        if count
    ]
    return [
        (("figure", "value"), figures),
        (("superblock", "offset", "state", "what it says"), areas),
        (("id", "kind", "name", "options"), ids),
        (("", "state", "blocks"), states),
        (("", "of a block", "blocks"), fill),
    ]


def _block_tables(row: dict[str, Any]) -> list[Table]:
    figures = [(key, str(row[key])) for key in ("block", "offset", "state", "live_bytes")]
    if row["unreadable_pages"]:
        figures.append(("unreadable pages", ", ".join(map(str, row["unreadable_pages"]))))
    figures += [(key.replace("_", " "), str(value)) for key, value in row.get("header", {}).items()]
    records = [
        (*_cells(one, _RECORD_COLUMNS), _live(one), one["problem"] or "ok")
        for one in row["records"]
    ]
    return [(("figure", "value"), figures), ((*_RECORD_COLUMNS, "live", "check"), records)]


def _slot_table(rows: list[dict[str, Any]]) -> Table:
    columns = ("sequence", "why", "block", "offset", "kind", "codec", "length", "order", "check")
    return columns, [(*_cells(row, columns[:-1]), row["problem"] or "ok") for row in rows]


def _cells(row: dict[str, Any], keys: Sequence[str]) -> list[str]:
    """A record's; its sequence as epoch and counter."""
    texts = row | {"sequence": f"{row['sequence'] >> EPOCH_AT}:{row['sequence'] & _COUNTER}"}
    return [str(texts[key]) for key in keys]


def _live(one: dict[str, Any]) -> str:
    if not one["live_slots"]:
        return "superseded"
    whole = len(one["live_slots"]) == 1 << one["order"]
    return "live" if whole else f"live: {', '.join(map(str, one['live_slots']))}"


def _span(span: dict[str, Any]) -> str:
    return "-" if span["least"] is None else f"{span['least']} to {span['greatest']}"


def _ages(blocks: dict[str, Any]) -> str:
    if blocks["oldest_age"] is None:
        return "-"
    return f"{blocks['oldest_age']} of the oldest in use, {blocks['median_age']} of the median"


def _encrypted(one: dict[str, Any]) -> str:
    return ", encrypted" if one["encrypted"] else ""


def _options(row: dict[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in row["options"].items())
    more = f"{row['data_bytes']} bytes of data" if row["data_bytes"] else ""
    text = ", ".join(filter(None, (options, more)))
    return text if text.isprintable() else ascii(text)  # a terminal would obey what it says
