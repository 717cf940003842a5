"""Ctrl-C, taken between two calls of the pipeline and not in the middle of one."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType

_PATIENCE = 1.0  # seconds; wrappers such as timeout(1) pass one Ctrl-C on twice


class Interrupt:
    """Calling it tells whether SIGINT came while it was entered.

    An exception in the middle of a store could leave the pipeline's own bookkeeping half done, and
    `close` has to work with it afterwards. Only if nobody has asked a second after the first
    SIGINT, since some call does not come back, does another raise `KeyboardInterrupt` at once.

    Notes: to be entered in the main thread.
    """

    def __init__(self) -> None:
        self._came: float | None = None
        self._heard = False

    def __call__(self) -> bool:
        if self._came is None:
            return False
        self._heard = True
        return True

    def __enter__(self) -> Interrupt:
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before or signal.default_int_handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._came is None:
            self._came = now
        elif not self._heard and now - self._came > _PATIENCE:
            raise KeyboardInterrupt
