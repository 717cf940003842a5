"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell may hold inline Markdown, and a bar or a line's end of its own."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def code(text: str) -> str:
    """Inline code."""
    return f"`{text}`"


def documented(path: str, heading_level: int = 2, **options: str | bool) -> str:
    """The request to mkdocstrings for what is at `path`, an object's dotted name."""
    lines = [f"::: {path}", "    options:", f"      heading_level: {heading_level}"]
    for name, value in options.items():
        lines.append(f"      {name}: {str(value).lower() if isinstance(value, bool) else value}")
    return "\n".join(lines)


def paragraphs(*parts: str) -> str:
    """The parts that are not empty, one after the other."""
    return "\n\n".join(filter(None, parts))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
