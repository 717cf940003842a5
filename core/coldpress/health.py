"""How a device fares: whether it can be written, told when that begins and ends."""

from __future__ import annotations

import logging
import threading

from coldpress.errors import DeviceError

TRIES = 3
"""Writes that may fail, each to another block, before what needs them is refused."""

_log = logging.getLogger("coldpress")


class Health:
    """What the latest calls of one device came to; `label` is what messages call it.

    Attributes: `failures`, writes in a row that have failed; `unanswered`, reads in a row that
    have failed for good; `is_away`, whether the device was given up, after TRIES failed writes.

    Notes: thread-safe; called where the device is, so without the pipeline's lock if writeback is
    in the background: whoever listens to the log may be slow.
    """

    def __init__(self, label: str) -> None:
        self.failures = 0
        self.unanswered = 0
        self.is_away = False
        self._label = label
        self._write_error = ""
        self._flush_error = ""
        self._lock = threading.Lock()

    @property
    def error(self) -> str:
        """Why the latest write, or else the latest flush, has failed; "" if neither has."""
        return self._write_error or self._flush_error

    @property
    def flush_error(self) -> str:
        """Why the latest flush has failed; "" if it has not."""
        return self._flush_error

    def write_failed(self, error: DeviceError) -> None:
        """A write has failed."""
        with self._lock:
            self.failures += 1
            self._write_error = str(error)
            given_up = self.failures >= TRIES and not self.is_away
            self.is_away |= given_up
        if given_up:
            _log.warning(
                "%s: %d writes in a row have failed, and from now on it is tried now and then: %s",
                self._label,
                TRIES,
                error,
            )

    def written(self) -> None:
        """A write has ended well."""
        if not self.failures:
            return
        with self._lock:
            self.failures = 0
            self._write_error = ""
            back, self.is_away = self.is_away, False
        if back:
            _log.warning("%s: it can be written again", self._label)

    def flushed(self, error: DeviceError | None) -> None:
        """A flush has ended."""
        self._flush_error = str(error) if error is not None else ""
