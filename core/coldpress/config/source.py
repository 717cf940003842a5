"""Reading what `coldpress.open` is given: a pipeline file, a mapping, or nothing."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from coldpress.config.document import Document, Place, mapping_document
from coldpress.config.positions import positions
from coldpress.errors import ConfigError, Problem
from coldpress.units import format_size

Source = str | os.PathLike[str] | Mapping[str, Any] | None

_LARGEST = 1 << 20  # bytes of a pipeline file

# A key of very many parts: tomllib takes time and memory by the square of their number.
_DEEP_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){32}""", re.MULTILINE
)

_AT = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|.*)\)", re.DOTALL
)


def read(source: Source) -> Document:
    """The document for a source; None is empty. Raises `ConfigError` if it can't be read."""
    if source is None:
        return mapping_document({})
    if isinstance(source, Mapping):
        return mapping_document(source)
    return _file_document(os.fspath(source))


def _file_document(name: str) -> Document:
    try:
        with FilePath(name).open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(name, f"can not be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in the name
        raise _unreadable(name, f"can not be read: {error}") from None
    if len(raw) > _LARGEST:
        raise _unreadable(name, f"more than {format_size(_LARGEST)}, which no pipeline file needs")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(f"{name}:{line}", "not UTF-8, which a TOML file must be") from None
    too_deep = _unreadable(name, "not TOML that can be read: nested too deeply")
    if _DEEP_KEY.search(text):
        raise too_deep
    try:
        data = tomllib.loads(text)
        places = {
            path: Place((0, line, column), f"{name}:{line}:{column}")
            for path, (line, column) in positions(text).items()
        }
        return Document(data, places, name)
    except RecursionError:
        raise too_deep from None
    except ValueError as error:
        raise _not_toml(name, text, error) from None


def _unreadable(where: str, message: str) -> ConfigError:
    return ConfigError([Problem(where, message)])


def _not_toml(name: str, text: str, error: ValueError) -> ConfigError:
    match = _AT.fullmatch(str(error))
    if not match:  # not of the grammar, but of Python: an integer of thousands of digits
        return _unreadable(name, f"not TOML that can be read: {error}")
    line, column = match["line"], match["column"]
    if line is None:  # "at end of document"
        lines = text.replace("\r\n", "\n").split("\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    return _unreadable(f"{name}:{line}:{column}", f"not TOML: {match['what']}")
