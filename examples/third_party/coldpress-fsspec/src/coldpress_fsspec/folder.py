"""A folder of the device's own, in the place that a URL names."""

from __future__ import annotations

import contextlib
import errno
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

import coldpress

PREFIX = "coldpress-"
"""What the names of such folders begin with."""


class Folder:
    """Objects in a new folder of a unique name, so that no two devices ever share one.

    Nothing is written outside of that folder. Its parents are made if they are not there, and go
    with it. The place may hold other devices' folders; one that holds anything else is refused,
    for it was hardly meant.

    Parameters: `url`, as fsspec spells it. Raises `DeviceError` and leaves no trace then.

    Notes: thread-safe, but for `remove`. Every call may take as long as the file system takes.
    """

    def __init__(self, url: str) -> None:
        self._label = without_secrets(url)
        with self._told("open"):
            self._files, place = fsspec.url_to_fs(url)
            self._refuse_foreign(place)
            self._path = f"{place.rstrip('/')}/{PREFIX}{uuid.uuid4().hex}"
            self._parents = list(self._missing(place))
            try:
                self._files.makedirs(self._path)
                if isinstance(self._files, LocalFileSystem):
                    Path(self._path).chmod(0o700)  # pages of a program's memory
            except BaseException:
                with contextlib.suppress(Exception):
                    self.remove()
                raise

    def put(self, name: str, data: bytes, what: str) -> None:
        """Write an object. Raises `DeviceFull`, `DeviceError`, saying `what` it was for."""
        with self._told(what):
            try:
                self._files.pipe_file(f"{self._path}/{name}", data)
            except BaseException:
                self.drop(name)  # there may be a part of it
                raise

    def get_into(self, name: str, at: int, view: memoryview, what: str) -> None:
        """Fill the view with the object's bytes from `at` on. Raises `DeviceError`."""
        with self._told(what):
            data = self._files.cat_file(f"{self._path}/{name}", start=at, end=at + len(view))
            if len(data) != len(view):
                raise OSError(f"{len(data)} bytes came of {len(view)}")
            view[:] = data

    def drop(self, name: str) -> None:
        """Remove an object. What can not be removed now is removed with the folder."""
        with contextlib.suppress(Exception):
            self._files.rm_file(f"{self._path}/{name}")

    def remove(self) -> None:
        """Remove all objects, the folder and the parents that were made. Raises `DeviceError`."""
        with self._told("removing the contents"), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._path, recursive=True)
        for parent in self._parents:
            with contextlib.suppress(Exception):  # someone else uses it by now
                self._files.rmdir(parent)

    def _missing(self, place: str) -> Iterator[str]:
        """The place and its parents that are not there, innermost first."""
        while place.strip("/") and not self._files.exists(place):
            yield place
            place = place.rstrip("/").rpartition("/")[0]

    def _refuse_foreign(self, place: str) -> None:
        self._files.invalidate_cache()
        if self._files.isfile(place):
            raise coldpress.DeviceError(f"{self._label} is a file, not a folder")
        try:
            names = self._files.ls(place, detail=False)
        except FileNotFoundError:
            return
        for path in names:
            name = path.rstrip("/").rpartition("/")[2]
            # Object stores list a folder's own marker, too.
            if path.strip("/") != place.strip("/") and not name.startswith(PREFIX):
                raise coldpress.DeviceError(
                    f"{self._label} holds what is not coldpress's: {name!r}; name a folder that is "
                    "empty, or one that is not there yet"
                )

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Any error becomes a `DeviceError` that says what failed, where and why."""
        try:
            yield
        except coldpress.DeviceError:
            raise
        except Exception as error:  # each file system has its own
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            kind = coldpress.DeviceFull if full else coldpress.DeviceError
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            why = without_secrets(why.partition("\n")[0])
            raise kind(f"{self._label}: {what} failed: {why}") from error


def without_secrets(text: str) -> str:
    """The text without the user and password of the URLs in it."""
    return re.sub(r"(://)[^/@\s]*@", r"\1", text)
