"""Frontends that break one promise each."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from line_server import LineClient, LineServer, connect

import coldpress
from coldpress.component import Component
from coldpress.testing import FrontendTests


class Kit(FrontendTests):
    patience = 1.0

    def client(self, frontend: Any) -> AbstractContextManager[LineClient]:
        return connect(frontend.path)


class ListensToEveryone(LineServer):
    """Has a TCP port, too, on all interfaces."""

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        with socket.create_server(("0.0.0.0", 0)):
            super().serve(pipeline)


class LetsEveryUserIn(LineServer):
    """Leaves its socket's mode to the mask."""

    def listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        return listener


class IgnoresStop(LineServer):
    """Serves on."""

    def stop(self) -> None:
        pass


class WantsToBeStoppedTwice(LineServer):
    """Takes no notice of the first time."""

    asked = False

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        self.asked = False
        super().serve(pipeline)

    def stop(self) -> None:
        if self.asked:
            super().stop()
        self.asked = True


class WaitsInStop(LineServer):
    """Returns from stop when serve has returned."""

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        self.returned = threading.Event()
        super().serve(pipeline)
        self.returned.set()

    def stop(self) -> None:
        super().stop()
        if self._wake is not None:
            self.returned.wait(3)


class TakesALockInStop(LineServer):
    """Holds a lock while it serves, which a signal handler waits for in vain."""

    lock = threading.Lock()

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        if threading.current_thread() is threading.main_thread():
            with self.lock:
                super().serve(pipeline)
        else:
            super().serve(pipeline)

    def stop(self) -> None:
        with self.lock:
            super().stop()


class ServesOnce(LineServer):
    """Returns at once when it is to serve again."""

    served = False

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        if not self.served:
            self.served = True
            super().serve(pipeline)


class FailsBeforeServe(LineServer):
    """Can not be stopped before it was started."""

    def stop(self) -> None:
        assert self._wake is not None
        super().stop()


class ClosesThePipeline(LineServer):
    """Takes the pipeline for its own."""

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        super().serve(pipeline)
        pipeline.close()


class LeavesAThread(LineServer):
    """Starts something that never ends."""

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        super().serve(pipeline)


class LeavesADescriptor(LineServer):
    """Opens something and forgets it."""

    def serve(self, pipeline: coldpress.Pipeline) -> None:
        os.open("/dev/null", os.O_RDONLY)
        super().serve(pipeline)


class LeavesItsSocket(LineServer):
    """Does not take its socket's name away."""

    def listener(self) -> socket.socket:
        Path(self.path).unlink(missing_ok=True)
        return super().listener()

    def remove(self) -> None:
        pass


class DropsAnAcknowledgedWrite(LineServer):
    """One write in thirty is answered and not done."""

    count = 0

    def carry_out(
        self, pipeline: coldpress.Pipeline, operation: bytes, slot: int, page: bytes
    ) -> bytes:
        self.count += operation == b"W"
        if operation == b"W" and self.count % 30 == 0:
            return b"+"
        return super().carry_out(pipeline, operation, slot, page)


class MixesClientsUp(LineServer):
    """All connections share the place for a page."""

    def carry_out(
        self, pipeline: coldpress.Pipeline, operation: bytes, slot: int, page: bytes
    ) -> bytes:
        self.page = page
        threading.Event().wait(0.0001)
        return super().carry_out(pipeline, operation, slot, self.page)


class DropsWhatWasBegun(LineServer):
    """Does not wait for requests under way, and forgets them."""

    def answer(self, pipeline: coldpress.Pipeline, connection: socket.socket) -> None:
        threading.Thread(target=super().answer, args=(pipeline, connection), daemon=True).start()


class EndsWithAnError(LineServer):
    """An error of the pipeline ends it."""

    def carry_out(
        self, pipeline: coldpress.Pipeline, operation: bytes, slot: int, page: bytes
    ) -> bytes:
        try:
            return super().carry_out(pipeline, operation, slot, page)
        except coldpress.DeviceError:
            self.stop()
            raise


class WaitsForItsClients(LineServer):
    """Serves until the last connection is closed."""

    def answer(self, pipeline: coldpress.Pipeline, connection: socket.socket) -> None:
        with connection.dup() as other:
            connection.close()  # so that it can not be shut down
            super().answer(pipeline, other)


FAULTS: dict[type[Component], str] = {
    ListensToEveryone: "only this machine reaches it",
    LetsEveryUserIn: "only this machine reaches it",
    IgnoresStop: "it stops from another thread and serves again",
    WantsToBeStoppedTwice: "it stops though a client is connected",
    WaitsInStop: "it stops from a signal handler",
    TakesALockInStop: "it stops from a signal handler",
    ServesOnce: "it stops from another thread and serves again",
    FailsBeforeServe: "stop before serve or twice is no error",
    ClosesThePipeline: "the pipeline is left as it was",
    LeavesAThread: "it leaves nothing behind",
    LeavesADescriptor: "it leaves nothing behind",
    LeavesItsSocket: "it leaves nothing behind",
    DropsAnAcknowledgedWrite: "a random history through it",
    MixesClientsUp: "clients at once",
    DropsWhatWasBegun: "a request that was begun is finished",
    EndsWithAnError: "an error of the pipeline does not end it",
    WaitsForItsClients: "it stops though a client is connected",
}
