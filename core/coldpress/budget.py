"""The pool's byte limit, shared by all that keeps page data in RAM."""

from __future__ import annotations


class PoolBudget:
    """Counts the pool's real bytes and refuses what would pass the limit.

    `headroom` bytes of the limit are set aside for staged blocks: `take` leaves them alone, `stage`
    uses them, so that writeback can always begin, however full the pool is.

    Attributes:
        limit: bytes that `used` never passes.
        headroom: bytes of the limit that `stage` alone may use.
        used: bytes counted now.
        staged: those of them that `stage` counted.
        peak: the most that `used` ever was.
        limit_hits: how often `take` refused.

    Notes:
        Not thread-safe: the pipeline calls under its lock. Every call is O(1).
    """

    def __init__(self, limit: int, headroom: int = 0) -> None:
        if not 0 <= headroom < limit:
            raise ValueError(f"headroom of {headroom} bytes in a limit of {limit}")
        self.limit = limit
        self.headroom = headroom
        self.used = 0
        self.peak = 0
        self.limit_hits = 0
        self.staged = 0

    def take(self, size: int) -> bool:
        """Count `size` more bytes; False, and nothing changed, if they do not fit."""
        used = self.used + size
        if used > self.limit - self.headroom + self.staged:
            self.limit_hits += 1
            return False
        self.used = used
        if used > self.peak:
            self.peak = used
        return True

    @property
    def pressure(self) -> int:
        """The bytes that writeback can give back: all but the staged ones."""
        return self.used - self.staged

    def give(self, size: int) -> None:
        """Stop counting `size` bytes that were taken."""
        self.used -= size

    def stage(self, size: int) -> None:
        """Count `size` bytes of the headroom as in use. Raises `ValueError` past the headroom."""
        if self.staged + size > self.headroom:
            raise ValueError(f"{size} more staged bytes pass the headroom of {self.headroom}")
        self.staged += size
        self.used += size
        if self.used > self.peak:
            self.peak = self.used

    def set_aside(self, size: int) -> bool:
        """Make the headroom larger by `size` bytes; False, and it is not, if they are in use."""
        if self.used + size > self.limit - self.headroom + self.staged:
            return False
        self.headroom += size
        return True

    def unstage(self, size: int) -> None:
        """Stop counting `size` staged bytes."""
        self.staged -= size
        self.used -= size
