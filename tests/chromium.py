"""A real browser without a window, for pages that coldpress writes."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr"),
)


@attrs.frozen
class Rendered:
    """What the browser made of a page: its DOM as text, its picture, what its console said."""

    dom: str
    picture: Path
    console: list[str]


def render(page: Path, folder: Path, *flags: str, size: tuple[int, int] = (1250, 1600)) -> Rendered:
    """Open `page` in a new browser with no history; `folder` is for its files."""
    assert BROWSER is not None
    picture = folder / f"{page.stem}.png"
    done = subprocess.run(
        [
            *(BROWSER, *_FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"),
            f"--window-size={size[0]},{size[1]}",
            *("--dump-dom", f"--screenshot={picture}", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Rendered(done.stdout, picture, console)


def colours(picture: Path) -> dict[tuple[int, int, int], int]:
    """How many pixels a PNG has of each colour."""
    raw = picture.read_bytes()
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    at, packed, width, channels = 8, b"", 0, 0
    while at < len(raw):
        length, kind = struct.unpack_from(">I4s", raw, at)
        body = raw[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, _, depth, form, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, interlaced) == (8, 0)
            channels = {2: 3, 6: 4}[form]
        elif kind == b"IDAT":
            packed += body
        at += length + 12
    counts: dict[tuple[int, int, int], int] = {}
    for line in _lines(zlib.decompress(packed), width * channels, channels):
        for pixel in zip(*(line[n::channels] for n in range(3)), strict=True):
            counts[pixel] = counts.get(pixel, 0) + 1
    return counts


def _lines(data: bytes, stride: int, step: int) -> Iterator[bytearray]:
    """The pixel bytes of each line, its filter undone (PNG specification, section 9)."""
    before = bytearray(stride)
    for start in range(0, len(data), stride + 1):
        kind, line = data[start], bytearray(data[start + 1 : start + 1 + stride])
        for at in range(stride if kind else 0):
            left = line[at - step] if at >= step else 0
            up = before[at]
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) // 2
            else:
                corner = before[at - step] if at >= step else 0
                nearest = left + up - corner
                guess = min(left, up, corner, key=lambda one: abs(nearest - one))
            line[at] = line[at] + guess & 0xFF
        yield line
        before = line
