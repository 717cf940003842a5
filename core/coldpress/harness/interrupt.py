"""Ctrl-C, taken between two calls of the pipeline and not in the middle of one."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupt:
    """While it is entered, the first SIGINT only makes `asked` true; a second raises at once.

    An exception in the middle of a store could leave the pipeline's own bookkeeping half done, and
    `close` has to work with it afterwards.

    Notes: to be entered in the main thread.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

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
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
