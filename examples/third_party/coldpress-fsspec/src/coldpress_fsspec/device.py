"""The device that is a folder of objects on any file system."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator

import attrs

import coldpress
from coldpress_fsspec.extents import Extents
from coldpress_fsspec.folder import Folder

_LARGEST = 1 << 20  # bytes of an object; longer writes become several


def _url(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value or "\0" in value:
        raise ValueError(f"must name a folder, got {value!r}")


def _never(instance: object, attribute: attrs.Attribute[bool], value: bool) -> None:
    if value:
        raise ValueError("must be false: fsspec can not tell what would be there after a crash")


@attrs.define(slots=False, eq=False, kw_only=True)
class FsspecDevice(coldpress.Device):
    """A folder on any file system that fsspec knows: local, in memory, an object store, a host.

    Few of those can write in the middle of a file. So each write becomes an object of its own, made
    in one go and never changed, in a folder of a unique name; which object has the latest bytes of
    which place is kept in RAM. An object of which all was overwritten or discarded is removed. A
    read fetches just the bytes that were asked for.

    Attributes:
        url: config key; the folder in which that folder is made. It need not be there, but must
            not hold anything else. Folders that a crash left behind may be removed by hand.

    Notes:
        Thread-safe, as fsspec's calls are. A call waits for the file system, and `close` for the
        calls that were begun. `flush` has nothing to do: a file system that has taken an object has
        it, and there is no call that would make it hold it any faster.
    """

    name = "fsspec"
    queue_depth = 8  # what is far away answers several as fast as one

    url: str = coldpress.option(
        help="folder in which a new one is made: file:///mnt/cold, memory://cold, s3://bucket/cold",
        validator=_url,
    )
    persistent: bool = coldpress.option(
        default=False, help="only false: everything is forgotten at close", validator=_never
    )

    _folder: Folder | None = attrs.field(init=False, default=None)
    _calls: int = attrs.field(init=False, default=0)
    _extents: Extents = attrs.field(init=False, factory=Extents)
    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        self._idle = threading.Condition(self._lock)

    def open(self) -> None:
        folder = Folder(self.url)
        self._numbers = itertools.count()
        self._extents = Extents()
        self._folder = folder

    @property
    def alignment(self) -> int:
        return 1

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._check(offset, buffer.nbytes)
        view = buffer.cast("B")
        at, end = offset, offset + len(view)
        with self._in_use() as folder:
            while at < end:
                with self._lock:
                    found = self._extents.begins(at, end)
                stop, name, place = found
                part = view[at - offset : stop - offset]
                try:
                    if name:
                        what = f"read of {len(part)} bytes at offset {at}"
                        folder.get_into(name, place, part, what)
                    else:
                        part[:] = bytes(len(part))
                except coldpress.DeviceError:
                    with self._lock:
                        if self._extents.begins(at, end) == found:
                            raise
                    continue  # overwritten meanwhile, and removed: another object has the bytes
                at = stop

    def write(self, offset: int, data: coldpress.Buffer) -> None:
        source = memoryview(data).cast("B")
        self._check(offset, len(source))
        with self._in_use() as folder:
            for at in range(0, len(source), _LARGEST):
                self._write(folder, offset + at, bytes(source[at : at + _LARGEST]))

    def discard(self, offset: int, length: int) -> None:
        self._check(offset, length)
        with self._in_use() as folder:
            with self._lock:
                gone = self._extents.drop(offset, offset + length)
            for name in gone:
                folder.drop(name)

    def flush(self) -> None:
        with self._in_use():
            pass

    def close(self) -> None:
        with self._lock:
            folder, self._folder = self._folder, None
            while self._calls:  # an object that is made while its folder is removed would stay
                self._idle.wait()
        if folder is not None:
            folder.remove()

    def _write(self, folder: Folder, start: int, data: bytes) -> None:
        name = f"{next(self._numbers):x}"
        folder.put(name, data, f"write of {len(data)} bytes at offset {start}")
        with self._lock:
            gone = self._extents.put(start, start + len(data), name)
        for old in gone:
            folder.drop(old)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(
                f"{length} bytes at offset {offset} are not inside the {self.size} of the device"
            )

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[Folder]:
        """The folder, which `close` leaves alone until the end of the call."""
        with self._lock:
            folder = self._folder
            if folder is None:
                raise coldpress.DeviceError("fsspec: device is closed")
            self._calls += 1
        try:
            yield folder
        finally:
            with self._lock:
                self._calls -= 1
                self._idle.notify_all()
