"""Writing a file that is there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from coldpress.harness.errors import InputError


class WholeFile:
    """A file to be written at the end of long work; whether that will work is tried at once.

    It is written under another name beside the one asked for and then renamed, so that an
    interruption leaves what was there before. A link is followed.

    Parameters: `path`; `option`, what asked for it. Raises `InputError` if nothing can be made
    there.
    """

    def __init__(self, path: str, option: str) -> None:
        self._path = Path(path)
        try:
            self._path = self._path.resolve()
            if self._path.exists() and not self._path.is_file():
                raise InputError(f"{option} {path}: it is there, and it is not a file")
            self._beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            self._write("")
            self._beside.unlink()
        except (OSError, ValueError) as error:  # ValueError: a zero byte, or no name at all
            raise InputError(f"{option} {path}: {getattr(error, 'strerror', None) or error}") from (
                error
            )

    def write(self, text: str) -> None:
        """Put the file there, with this text. Raises `OSError`; then nothing has changed."""
        try:
            self._write(text)
            self._beside.replace(self._path)
        except BaseException:
            self._beside.unlink(missing_ok=True)
            raise

    def _write(self, text: str) -> None:
        with self._beside.open("x", encoding="utf-8") as file:
            file.write(text)
