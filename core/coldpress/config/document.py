"""A pipeline's configuration as it was given, and where each part of it came from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

Path = tuple[str | int, ...]
"""Keys from the top level down; an integer is the index in an array."""


@attrs.frozen
class Place:
    """Where something stands: `where` for people, `order` to sort problems by."""

    order: tuple[int, ...]
    where: str


_OVERRIDES = (1,)
"""How the order of an override's place begins: they come after the source's."""


class Document:
    """Plain values, not yet checked, with the place of each.

    Attributes: `data`, the source with the overrides laid over it; `source`, without them;
    `problems`, what is wrong with the overrides themselves.
    """

    def __init__(self, data: Mapping[str, Any], places: Mapping[Path, Place], name: str) -> None:
        self.source = _copy(data)
        self.data = _copy(data)
        self.problems: list[tuple[Place, str]] = []
        self._places = dict(places)
        self._places[()] = Place((0,), name)
        self._count = 0  # of the overrides

    def place(self, *paths: Path) -> Place:
        """Of the first of `paths` that was given; if none was, of what surrounds the first."""
        for path in paths:
            if path in self._places:
                return self._places[path]
        path = paths[0]
        while path not in self._places:
            path = path[:-1]
        return self._places[path]

    def is_overridden(self, path: Path) -> bool:
        """Whether the value at `path` comes from an override."""
        return self.place(path).order > _OVERRIDES

    def override(self, text: str) -> None:
        """Lay "key.path=value" over the data; if it can not be done, that joins `problems`."""
        key, equals, value = (part.strip() for part in text.partition("="))
        self._count += 1
        place = Place((*_OVERRIDES, self._count), f"--set {key}")
        path = _parse_key(key) if equals else None
        if path is None:
            self.problems.append((place, "expected KEY=VALUE, such as allocator.limit=16MiB"))
            return
        table: Any = self.data
        for depth, part in enumerate(path[:-1], 1):
            table = table.setdefault(part, {})
            self._places.setdefault(path[:depth], place)
            if not isinstance(table, dict):
                self.problems.append((place, f"{part!r} is not a table"))
                return
        table[path[-1]] = _parse_value(value)
        for replaced in [known for known in self._places if known[: len(path)] == path]:
            del self._places[replaced]
        self._places |= dict.fromkeys(_paths(table[path[-1]], path), place)


def mapping_document(source: Mapping[str, Any]) -> Document:
    """The document for a mapping: an item's place is its dotted key."""
    places = {
        path: Place((0, number), _dotted(path)) for number, path in enumerate(_paths(source, ()), 1)
    }
    return Document(source, places, "")


def _paths(value: object, path: Path) -> Iterator[Path]:
    """`path` and the paths of all that is inside `value`, in order."""
    yield path
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths(item, (*path, index))


def _dotted(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _copy(item) for key, item in value.items()}
    return value


def _parse_key(text: str) -> Path | None:
    """The parts of a dotted TOML key, or None if it is none."""
    try:
        table: Any = tomllib.loads(f"{text}=0")
    except ValueError:
        return None
    path: Path = ()
    while isinstance(table, dict):
        ((part, table),) = table.items()
        path += (part,)
    return path


def _parse_value(text: str) -> Any:
    """A TOML value, or the text itself: nobody wants to quote 16MiB twice on a command line."""
    try:
        table = tomllib.loads(f"value={text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
