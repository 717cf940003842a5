"""Where each key of a TOML text stands: tomllib tells only what it means."""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Iterator

_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# The long strings come first: an empty short one is their beginning. One or two quotes may stand
# before the closing three and belong to the text.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")

KeyPath = tuple[str | int, ...]


def positions(text: str) -> dict[KeyPath, tuple[int, int]]:
    """The line and column, from 1 up and in characters, of every key path in `text`.

    A path is the keys from the top level down, an integer for an element of an array. A table has
    the place of its header's bracket or, without a header, of the key that first makes it. `text`
    must be one that `tomllib.loads` accepts.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))  # as tomllib does
    scanner.document()
    lines = [-1, *(match.start() for match in re.finditer("\n", scanner.text))]

    def place(offset: int) -> tuple[int, int]:
        line = bisect.bisect_left(lines, offset)
        return line, offset - lines[line - 1]

    return {path: place(offset) for path, offset in scanner.found.items()}


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, int] = {}
        self.last: dict[KeyPath, int] = {}  # of an array of tables, the latest index

    def document(self) -> None:
        table: KeyPath = ()
        while self.skip(_SPACE):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.assignment(table)

    def header(self) -> KeyPath:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        keys = [key for key, _ in self.key()]
        self.at += 2 if is_array else 1
        path: KeyPath = ()
        for depth, key in enumerate(keys, 1):
            path += (key,)
            self.found.setdefault(path, start)
            if depth == len(keys):
                break
            if path in self.last:
                path += (self.last[path],)
        if is_array:
            self.last[path] = self.last.get(path, -1) + 1
            path += (self.last[path],)
        self.found[path] = start  # its own header, though one of a table inside it came first
        return path

    def assignment(self, table: KeyPath) -> None:
        path = table
        for key, start in self.key():
            path += (key,)
            self.found.setdefault(path, start)
        self.at += 1  # the "="
        self.value(path)

    def key(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, unquoted, each with its offset; what follows is next."""
        parts = []
        while True:
            self.skip(_BLANK)
            start = self.at
            quoted = self.text[start] in "\"'"
            raw = self.take(_STRING if quoted else _BARE_KEY)
            parts.append((tomllib.loads(f"k={raw}")["k"] if quoted else raw, start))
            self.skip(_BLANK)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def value(self, path: KeyPath) -> None:
        self.skip(_BLANK)
        first = self.text[self.at]
        if first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            self.take(_STRING if first in "\"'" else _SCALAR)

    def array(self, path: KeyPath) -> None:
        for index, start in enumerate(self.items("]")):
            self.found[(*path, index)] = start
            self.value((*path, index))

    def inline_table(self, path: KeyPath) -> None:
        for _ in self.items("}"):
            self.assignment(path)

    def items(self, close: str) -> Iterator[int]:
        """Go from the opening bracket past the closing one, stopping where each item starts."""
        self.at += 1
        while self.skip(_SPACE) and self.text[self.at] != close:
            if self.text[self.at] == ",":
                self.at += 1
            else:
                yield self.at
        self.at += 1

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None, "the text is not what tomllib accepted"
        self.at = match.end()
        return match.group()

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Step over spaces; whether anything is left."""
        self.take(pattern)
        return self.at < len(self.text)
