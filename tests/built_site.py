"""The pages of the built documentation, read back from their HTML."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_VOID = {"base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Page(HTMLParser):
    """What a page has.

    Attributes: `ids`, its anchors; `links`, where its links lead; `loaded`, what a browser fetches
    for it. By section, which is the anchor of the heading before: `rows`, its tables' lines without
    the headings, a text a cell; `blocks`, its code blocks; `words`, all of its text.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.rows: dict[str, list[list[str]]] = defaultdict(list)
        self.blocks: dict[str, list[str]] = defaultdict(list)
        self._texts: dict[str, list[str]] = defaultdict(list)
        self._section = ""
        self._open: list[str] = []
        self.feed(path.read_text())
        self.close()

    def words(self, section: str) -> str:
        """All text of a section, with single spaces."""
        return " ".join("".join(self._texts[section]).split())

    def describes(self, owner: str, member: str, section: str | None = None) -> bool:
        """Whether a member of `owner` has a heading, or a line in the list in the section.

        The section is the owner's own unless another is named.
        """
        line = rf"\b{member} \(.+?\) – \w"
        own = owner if section is None else section
        return f"{owner}.{member}" in self.ids or bool(re.search(line, self.words(own)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append(tag)
        if "id" in given:
            self.ids.add(given["id"])
            if tag in _HEADINGS:
                self._section = given["id"]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "href" in given:
            self.loaded.append(given["href"])
        if "src" in given:
            self.loaded.append(given["src"])
        if tag == "pre":
            self.blocks[self._section].append("")
        elif tag == "tr":
            self.rows[self._section].append([])
        elif tag == "td":
            self.rows[self._section][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "tr" and not self.rows[self._section][-1]:  # of headings
            self.rows[self._section].pop()

    def handle_data(self, data: str) -> None:
        if {"script", "style"} & set(self._open):
            return
        self._texts[self._section].append(data)
        if "pre" in self._open:
            self.blocks[self._section][-1] += data
        elif "td" in self._open:
            self.rows[self._section][-1][-1] += data


def folder() -> Path | None:
    """Where COLDPRESS_SITE says that the site was built."""
    named = os.environ.get("COLDPRESS_SITE")
    return Path(named) if named else None
