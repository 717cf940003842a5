"""Everything that is wrong with a configuration, to be told all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coldpress.config.document import Document, Path, mapping_document
from coldpress.errors import ConfigError, Problem


class Report:
    """Collects problems and puts them in the order of the document; `len` counts them."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found = list(document.problems)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, message: str, *paths: Path) -> None:
        """A problem at the first of `paths` that was given; if none was, around the first."""
        self._found.append((self._document.place(*paths), message))

    def raise_if_any(self) -> None:
        """Raise `ConfigError` with all problems, if there are any."""
        if self._found:
            self._found.sort(key=lambda one: one[0].order)
            raise ConfigError([Problem(place.where, message) for place, message in self._found])


def assigned(texts: Iterable[str]) -> dict[str, Any]:
    """What "key.path=value" texts say, table by table. Raises `ConfigError` with all problems."""
    document = mapping_document({})
    for text in texts:
        document.override(text)
    Report(document).raise_if_any()
    return dict(document.data)
