"""Work that Ctrl-C must not meet half way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Apart(Generic[T]):
    """A call in a thread of its own, for Ctrl-C comes to the main thread alone.

    `call` is given an event. When that is set it shall end soon, because whoever waits for it was
    interrupted.
    """

    def __init__(self, name: str, call: Callable[[threading.Event], T]) -> None:
        self._call = call
        self._stop = threading.Event()
        self._done = threading.Event()
        self._running = threading.Lock()
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def result(self) -> T:
        """What the call returned, or raised; once. Interrupted, it makes the call end first."""
        try:
            self._thread.start()
            self._done.wait()
        except BaseException:
            # Even from inside `start`. A call that has not begun by now finds the event set.
            self._stop.set()
            with self._running:
                raise
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        with self._running:
            if self._stop.is_set():
                return
            try:
                self._results.append(self._call(self._stop))
            except BaseException as error:
                self._error = error
        self._done.set()
