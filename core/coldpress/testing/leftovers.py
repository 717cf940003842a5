"""What a plugin must not leave behind: threads, open descriptors, files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs


def descriptors() -> set[Path]:
    """What this process has open; the listing's own entry is gone by the time it is looked at."""
    return {entry for entry in list(Path("/proc/self/fd").iterdir()) if entry.is_symlink()}


@attrs.define
class Before:
    """Threads, descriptors and a folder's files as they were when this was made.

    `first` is what will be looked at, done once: what a library keeps for good from its first use
    on is there then. Files it must not leave either.
    """

    folder: Path
    first: Callable[[], None] = lambda: None
    threads: set[threading.Thread] = attrs.field(init=False)
    open: set[Path] = attrs.field(init=False)
    files: set[Path] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.files = set(self.folder.rglob("*"))
        self.first()
        self.threads = set(threading.enumerate())
        self.open = descriptors()

    def check(self) -> None:
        """Nothing more is there now; a thread that is ending gets a second for it."""
        waited = time.monotonic() + 1
        while (more := set(threading.enumerate()) - self.threads) and time.monotonic() < waited:
            time.sleep(0.01)
        assert not more, f"threads were left behind: {more}"
        left = [str(entry.readlink()) for entry in descriptors() - self.open]
        assert not left, f"descriptors were left open: {left}"
        files = set(self.folder.rglob("*")) - self.files
        assert not files, f"files were left behind: {files}"
