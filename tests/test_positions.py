from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldpress.config.positions import KeyPath, positions

Positions = dict[KeyPath, tuple[int, int]]
# What can stand in a string, a key or a comment and look like syntax.
TRAPS = ["", "a", "[x]", "{", "}", "]", ",", "#", "=", ".", " ", "''", "é", "\U0001f9ca"]
SCALARS = ["1", "0x1F", "1_000.5e3", "inf", "true", "1979-05-27 07:32:00Z", "07:32:00"]
MORE_TRAPS = [*TRAPS, '"', '""', "\\", "\n", "'"]


def paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """All key paths of parsed TOML."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found = {path} if path else set()
    return found.union(*(paths(item, (*path, key)) for key, item in items))


class Writer:
    """Writes a document and keeps its own account of where each key went.

    Each byte of `choices` decides one thing; when they are used up, the simplest is chosen.
    """

    def __init__(self, choices: bytes) -> None:
        self.choices = iter(choices)
        self.text = ""
        self.expected: Positions = {}
        self.serial = 0

    def here(self) -> tuple[int, int]:
        return self.text.count("\n") + 1, len(self.text) - self.text.rfind("\n")

    def one_of(self, *choices: Any) -> Any:
        return choices[next(self.choices, 0) % len(choices)]

    def space(self) -> None:
        self.text += self.one_of("", "", " ", "\t")

    def gap(self) -> None:
        """What may stand between an array's items."""
        self.text += self.one_of("", " ", "\n", "# " + self.one_of(*TRAPS) + "\n  ", "\n\n\t")

    def new_key(self) -> str:
        self.serial += 1
        return f"{self.one_of(*TRAPS)}{self.serial}"

    def write_key(self, key: str) -> None:
        styles = [json.dumps(key, ensure_ascii=False), json.dumps(key)]
        if "\U0001f9ca" in key:
            styles = styles[:1]  # JSON escapes it as a surrogate pair, which TOML has not
        if "'" not in key:
            styles.append(f"'{key}'")
        if key.isascii() and key.replace("-", "a").isalnum():
            styles.append(key)
        self.text += self.one_of(*styles)

    def dotted(self, table: KeyPath, keys: list[str]) -> KeyPath:
        path = table
        for number, key in enumerate(keys):
            if number:
                self.space()
                self.text += "."
                self.space()
            path += (key,)
            self.expected.setdefault(path, self.here())
            self.write_key(key)
        return path

    def assignment(self, table: KeyPath, depth: int, keys: list[str] | None = None) -> None:
        keys = keys or [self.new_key() for _ in range(self.one_of(1, 1, 2, 3))]
        path = self.dotted(table, keys)
        self.space()
        self.text += "="
        self.space()
        self.value(path, depth)

    def value(self, path: KeyPath, depth: int) -> None:
        kind = self.one_of("scalar", "string", "array", "table") if depth else "scalar"
        if kind == "scalar":
            self.text += self.one_of(*SCALARS)
        elif kind == "string":
            self.string()
        elif kind == "array":
            self.array(path, depth)
        else:
            self.inline_table(path, depth)

    def string(self) -> None:
        content = "".join(self.one_of(*MORE_TRAPS) for _ in range(self.one_of(0, 1, 2, 3)))
        plain = content.replace("\\", "").replace("\n", "").replace("'", "")
        self.text += self.one_of(
            json.dumps(content, ensure_ascii=False),
            f"'{plain}'",
            f"'''\n{plain}\n''|{plain}|'''{self.one_of('', chr(39), chr(39) * 2)}",
            f'"""{json.dumps(content, ensure_ascii=False)[1:-1]}\\\n ""\n"""'
            + self.one_of("", '"', '""'),
        )

    def array(self, path: KeyPath, depth: int) -> None:
        self.text += "["
        self.gap()
        for index in range(self.one_of(0, 1, 2, 3)):
            if index:
                self.text += ","
                self.gap()
            self.expected[(*path, index)] = self.here()
            self.value((*path, index), depth - 1)
            self.gap()
        self.text += "]"

    def inline_table(self, path: KeyPath, depth: int) -> None:
        self.text += "{"
        self.space()
        for index in range(self.one_of(0, 1, 2)):
            if index:
                self.text += ","
                self.space()
            self.assignment(path, depth - 1)
            self.space()
        self.text += "}"

    def end_line(self) -> None:
        self.space()
        self.text += self.one_of("", "", "# [no] table = 1 " + self.one_of(*TRAPS)) + "\n"
        self.text += self.one_of("", "", "\n", "  # comment\n")

    def body(self, table: KeyPath) -> None:
        for _ in range(self.one_of(0, 1, 2)):
            self.space()
            self.assignment(table, 2)
            self.end_line()
        if self.one_of(False, True):  # one table made by two dotted keys
            shared = self.new_key()
            for _ in range(2):
                self.assignment(table, 1, [shared, self.new_key()])
                self.end_line()

    def header(self, parent: KeyPath, key: str, index: int | None = None) -> KeyPath:
        """[parent.key], or the [[parent.key]] that makes the element `index`; its path."""
        self.space()
        start = self.here()
        path = (*parent, key)
        before = self.expected
        self.expected = {}  # the parts of a header have its bracket's place, not their own
        self.text += "[" if index is None else "[["
        self.space()
        self.dotted((), [one for one in path if isinstance(one, str)])
        self.space()
        self.text += "]" if index is None else "]]"
        self.end_line()
        self.expected = before
        for depth in range(1, len(path)):
            self.expected.setdefault(path[:depth], start)
        if index is None:
            self.expected[path] = start
            return path
        self.expected.setdefault(path, start)
        self.expected[(*path, index)] = start
        return (*path, index)

    def tables(self, parent: KeyPath, depth: int) -> None:
        for _ in range(self.one_of(0, 1, 2)):
            key = self.new_key()
            kind = self.one_of("table", "inside first", "array", "skip a level")
            if kind == "array":
                for index in range(self.one_of(1, 2)):
                    self.contents(self.header(parent, key, index), depth)
            elif kind == "skip a level":
                self.contents(self.header((*parent, key), self.new_key()), depth)
            else:
                if kind == "inside first":
                    self.contents(self.header((*parent, key), self.new_key()), 0)
                self.contents(self.header(parent, key), depth)

    def contents(self, table: KeyPath, depth: int) -> None:
        self.body(table)
        if depth:
            self.tables(table, depth - 1)


@settings(max_examples=500)
@given(st.binary(min_size=400, max_size=400))
def test_every_key_of_a_generated_document_is_found_where_it_was_written(choices: bytes) -> None:
    writer = Writer(choices)
    writer.contents((), 2)
    parsed = tomllib.loads(writer.text)
    assert set(writer.expected) == paths(parsed), "the test's own account is wrong"
    assert positions(writer.text) == writer.expected
    assert positions(writer.text.replace("\n", "\r\n")) == writer.expected


def test_a_pipeline_file() -> None:
    text = 'slots = 7\n# [no]\n[compressor]\n  use="zstd" # x = 1\n\n[writeback] \nhigh="95%"'
    assert positions(text) == {
        ("slots",): (1, 1),
        ("compressor",): (3, 1),
        ("compressor", "use"): (4, 3),
        ("writeback",): (6, 1),
        ("writeback", "high"): (7, 1),
    }


def test_a_table_that_follows_its_own_subtable_stands_at_its_own_header() -> None:
    assert positions("[a.b]\n[a]\n") == {("a",): (2, 1), ("a", "b"): (1, 1)}


def test_a_table_in_an_array_of_tables_belongs_to_its_latest_element() -> None:
    assert positions("[[a]]\n[[a]]\n[a.b]\n[[a.c]]\nx = 1\n") == {
        ("a",): (1, 1),
        ("a", 0): (1, 1),
        ("a", 1): (2, 1),
        ("a", 1, "b"): (3, 1),
        ("a", 1, "c"): (4, 1),
        ("a", 1, "c", 0): (4, 1),
        ("a", 1, "c", 0, "x"): (5, 1),
    }


@pytest.mark.parametrize(
    "value",
    ['""""a"""""', "'''''a'''''", '"""\\""""', '"\\\\"', "''", '""', '"""a\n\n# b = 1\n[c]"""'],
)
def test_a_string_is_skipped_to_its_very_end(value: str) -> None:
    text = f"a = {value}\nb = 1"
    tomllib.loads(text)
    assert positions(text) == {("a",): (1, 1), ("b",): (text.count("\n") + 1, 1)}


def test_an_empty_text() -> None:
    assert positions("") == positions("\n# nothing") == {}
