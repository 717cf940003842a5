"""A small frontend for tests: pages over a unix socket, and a client of it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs

import coldpress
from coldpress.testing.pages import PAGE

_REQUEST = struct.Struct("<cQ")


@attrs.define(slots=False, eq=False, kw_only=True)
class LineServer(coldpress.Frontend):
    """Pages over a unix socket: a letter and a slot, then a page to be written.

    Every answer is a letter, `+`, `0` for an empty slot or `-` for an error, and after a read's
    `+` the page.
    """

    name = "line"
    path: str = coldpress.option(help="the socket")

    _wake: socket.socket | None = attrs.field(init=False, default=None)

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        wake, self._wake = socket.socketpair()
        listener = self.listener()
        open_ones: dict[socket.socket, threading.Thread] = {}
        with wake, self._wake, listener, selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.register(listener, selectors.EVENT_READ)
            while all(key.fileobj is not wake for key, _ in selector.select()):
                connection, _ = listener.accept()
                thread = threading.Thread(target=self.answer, args=(pipeline, connection))
                open_ones[connection] = thread
                thread.start()
            for connection, thread in open_ones.items():
                with contextlib.suppress(OSError):  # it has gone
                    connection.shutdown(socket.SHUT_RD)
                thread.join()
        self.remove()

    def listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        Path(self.path).chmod(0o600)  # before it listens, so that nobody was in
        listener.listen()
        return listener

    def remove(self) -> None:
        Path(self.path).unlink()

    def stop(self) -> None:
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(OSError):  # it has stopped
                wake.send(b"!")

    def answer(self, pipeline: coldpress.Pipeline, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while len(head := stream.read(_REQUEST.size)) == _REQUEST.size:
                operation, slot = _REQUEST.unpack(head)
                page = stream.read(PAGE) if operation == b"W" else b""
                if operation == b"W" and len(page) < PAGE:
                    return
                try:
                    stream.write(self.carry_out(pipeline, operation, slot, page))
                except coldpress.ColdpressError:
                    stream.write(b"-")
                with contextlib.suppress(OSError):
                    stream.flush()

    def carry_out(
        self, pipeline: coldpress.Pipeline, operation: bytes, slot: int, page: bytes
    ) -> bytes:
        """The answer to a request."""
        if operation == b"R":
            try:
                return b"+" + pipeline.load(slot)
            except coldpress.SlotEmpty:
                return b"0"
        if operation == b"W":
            pipeline.store(slot, page)
        else:
            pipeline.invalidate(slot)
        return b"+"


class LineClient:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")

    def read(self, slot: int) -> bytes | None:
        return self._stream.read(PAGE) if self._ask(b"R", slot) == b"+" else None

    def write(self, slot: int, page: bytes) -> None:
        self._ask(b"W", slot, page)

    def discard(self, slot: int) -> None:
        self._ask(b"D", slot)

    def _ask(self, operation: bytes, slot: int, page: bytes = b"") -> bytes:
        self._stream.write(_REQUEST.pack(operation, slot) + page)
        self._stream.flush()
        answer = self._stream.read(1)
        if answer not in (b"+", b"0"):
            raise OSError("the request failed")
        return answer


@contextlib.contextmanager
def connect(path: str) -> Iterator[LineClient]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        client = LineClient(connection)
        with client._stream:
            yield client
