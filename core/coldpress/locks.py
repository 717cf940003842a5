"""Letting a lock go for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
