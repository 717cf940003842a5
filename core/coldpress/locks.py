"""The pipeline's lock: until when it may be taken, and letting it go for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from coldpress.errors import PipelineClosed


class Gate:
    """The pipeline's one lock, and whether the pipeline is closed, which changes under it."""

    __slots__ = ("closed", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.closed = False

    def check(self) -> None:
        """Raises `PipelineClosed` if the pipeline is."""
        if self.closed:
            raise PipelineClosed("the pipeline is closed")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Holds the lock of a pipeline that is open. Raises `PipelineClosed`."""
        with self.lock:
            self.check()
            yield


@contextmanager
def released(lock: threading.Lock, yes: bool = True) -> Iterator[None]:
    """Inside, the lock that the caller holds is free for others, if `yes`."""
    if not yes:
        yield
        return
    lock.release()
    try:
        yield
    finally:
        lock.acquire()
