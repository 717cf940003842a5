"""A device that says it has flushed."""

from __future__ import annotations

import attrs

from coldpress.testing.wrapped import WrappedDevice


@attrs.define(slots=False, eq=False, kw_only=True)
class LyingDevice(WrappedDevice):
    """Says that it has flushed, and does nothing.

    So does a disk that keeps in RAM what it gets. Nothing is wrong with it until the power goes:
    over a `CrashDevice`, of what was "flushed" any part may be missing then.

    Notes: as thread-safe as the device under it.
    """

    name = "lying"

    def flush(self) -> None:
        self.check_open()
