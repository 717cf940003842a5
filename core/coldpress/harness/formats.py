"""Trace file formats: each reader gives a file's requests, one at a time."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import attrs

from coldpress.harness.errors import InputError
from coldpress.layout import MOST_SLOTS
from coldpress.units import format_size

Request = tuple[int, int, bool]
"""The first page's number, how many pages on from there, and whether it writes them."""

_RECORDS = 4096  # read in one go
_READ, _WRITE = 0x28, 0x2A
_SECTOR = 512
_LINE = re.compile(rb"([WR])\s+(\d{1,10})")
_LARGEST_REQUEST = 1 << 30  # bytes: a few records of more would make billions of touches
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@attrs.frozen
class Format:
    """A trace format. `numbered`: its page numbers are slots already.

    `read(file, path, page_size)` gives the requests, cut in pages; it raises `InputError` with the
    record's number and what was expected there. `looks_like(head)` is asked about the first bytes
    of a file whose name says nothing.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[BinaryIO, str, int], Iterator[Request]]
    looks_like: Callable[[bytes], bool]
    numbered: bool = False


def _broken(path: str, unit: str, number: int, why: str) -> InputError:
    return InputError(f"--trace {path}: {unit} {number}: {why}")


def _records(file: BinaryIO, path: str, record: struct.Struct) -> Iterator[tuple[Any, ...]]:
    done = 0
    while data := file.read(record.size * _RECORDS):
        rest = len(data) % record.size
        yield from record.iter_unpack(data[: len(data) - rest])
        done += len(data) // record.size
        if rest:
            raise _broken(
                path,
                "record",
                done + 1,
                f"expected {record.size} bytes, the file ends after {rest}",
            )


def _check_length(path: str, number: int, length: int) -> None:
    if length > _LARGEST_REQUEST:
        why = f"expected a request of at most {format_size(_LARGEST_REQUEST)}, got {length} bytes"
        raise _broken(path, "record", number, why)


_VSCSI = struct.Struct("<IIIHHQQ")


def _read_vscsi(file: BinaryIO, path: str, page_size: int) -> Iterator[Request]:
    """Records of sequence, length in bytes, segments, command, version, sector, time in us.

    Source: `trace_v1_record_t` of libCacheSim; what is above the version's low byte must be 1.
    """
    records = _records(file, path, _VSCSI)
    for number, (_, length, _, command, version, sector, _) in enumerate(records, 1):
        if version >> 8 != 1:
            raise _broken(path, "record", number, f"expected version 0x01xx, got {version:#06x}")
        if command not in (_READ, _WRITE):
            raise _broken(
                path, "record", number, f"expected command 0x28 or 0x2a, got {command:#04x}"
            )
        _check_length(path, number, length)
        if length:
            start = sector * _SECTOR
            first = start // page_size
            yield first, (start + length - 1) // page_size - first + 1, command == _WRITE


def _looks_like_vscsi(head: bytes) -> bool:
    whole = len(head) // _VSCSI.size * _VSCSI.size
    first = [(r[4] >> 8, r[3]) for r in _VSCSI.iter_unpack(head[:whole])]
    return bool(first) and all(v == 1 and c in (_READ, _WRITE) for v, c in first[:2])


_ORACLE_GENERAL = struct.Struct("<IQIq")


def _read_oracle_general(file: BinaryIO, path: str, page_size: int) -> Iterator[Request]:
    """Records of time, object, size in bytes, next access; all of them read.

    The objects are opaque: the pages of two never meet, whatever their numbers. Source:
    libCacheSim's `oracleGeneral`.
    """
    for number, (_, one, size, _) in enumerate(_records(file, path, _ORACLE_GENERAL), 1):
        _check_length(path, number, size)
        yield one << 32, -(-size // page_size), False


def _looks_like_oracle_general(head: bytes) -> bool:
    whole = len(head) // _ORACLE_GENERAL.size * _ORACLE_GENERAL.size
    first = list(_ORACLE_GENERAL.iter_unpack(head[:whole]))
    times = [r[0] for r in first]
    return bool(first) and times == sorted(times) and all(r[3] >= -1 for r in first)


def _read_text(file: BinaryIO, path: str, page_size: int) -> Iterator[Request]:
    """Lines of `W slot` or `R slot`; what follows a # is a comment."""
    for number, line in enumerate(file, 1):
        text = line.partition(b"#")[0].strip()
        if (match := _LINE.fullmatch(text)) and int(match[2]) < MOST_SLOTS:
            yield int(match[2]), 1, match[1] == b"W"
        elif text:
            shown = ascii(text[:40].decode("latin-1"))
            below = f", a slot below {MOST_SLOTS}" if match else ""
            raise _broken(
                path, "line", number, f"expected 'W slot' or 'R slot'{below}, got {shown}"
            )


def _looks_like_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)


FORMATS = (
    Format("text", (".txt",), _read_text, _looks_like_text, numbered=True),
    Format("vscsi", (".vscsi",), _read_vscsi, _looks_like_vscsi),
    Format(
        "oracleGeneral",
        (".oraclegeneral", ".oraclegeneral.bin"),
        _read_oracle_general,
        _looks_like_oracle_general,
    ),
)


def detect(path: str, head: bytes) -> Format:
    """The format of the trace at `path`, which begins with `head`. Raises `InputError`."""
    for one in FORMATS:
        if path.lower().endswith(one.suffixes):
            return one
    if head.startswith(_ZSTD_MAGIC):
        raise InputError(f"--trace {path}: it is compressed: unpack it with zstd -d first")
    for one in FORMATS:
        if one.looks_like(head):
            return one
    raise InputError(
        f"--trace {path}: it is none of vscsi, oracleGeneral and text ('W slot' or 'R slot' a line)"
    )
