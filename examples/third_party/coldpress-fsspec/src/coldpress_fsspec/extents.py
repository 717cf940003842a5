"""Which object holds which bytes of the device."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

_BUCKET = 1 << 20

_Piece = tuple[int, int, str, int]
"""From this byte of the device to that one, the object, and where in the object they begin."""


class Extents:
    """The latest of what was written to each place of the device.

    Pieces are kept by buckets of 1 MiB of the device, in order, so that a change costs the same
    however large the device is.

    Notes: not thread-safe.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, list[_Piece]] = {}
        self._live: dict[str, int] = {}  # how many bytes of each object are still the latest

    def put(self, start: int, end: int, name: str) -> list[str]:
        """A new object holds these bytes; the objects of which nothing is needed any more."""
        gone = self.drop(start, end)
        for low, high in _by_bucket(start, end):
            bucket = self._buckets.setdefault(low // _BUCKET, [])
            bisect.insort(bucket, (low, high, name, low - start))
        self._live[name] = end - start
        return gone

    def drop(self, start: int, end: int) -> list[str]:
        """These bytes are not needed; the objects of which nothing is needed any more."""
        gone = []
        for low, high in _by_bucket(start, end):
            bucket = self._buckets.pop(low // _BUCKET, [])
            kept: list[_Piece] = []
            for first, last, name, at in bucket:
                cut, rest = max(first, low), min(last, high)
                if cut >= rest:
                    kept.append((first, last, name, at))
                    continue
                if first < cut:
                    kept.append((first, cut, name, at))
                if rest < last:
                    kept.append((rest, last, name, at + rest - first))
                self._live[name] -= rest - cut
                if not self._live[name]:
                    del self._live[name]
                    gone.append(name)
            if kept:
                self._buckets[low // _BUCKET] = kept
        return gone

    def begins(self, start: int, end: int) -> tuple[int, str, int]:
        """What the range begins with: where that part of it ends, the object, and where in it.

        The object is "" if nothing is there.
        """
        stop, name, at = self._begins(start, end)
        while name and stop < end:
            more, other, there = self._begins(stop, end)
            if other != name or there != at + stop - start:
                break
            stop = more
        return stop, name, at

    def _begins(self, start: int, end: int) -> tuple[int, str, int]:
        end = min(end, (start // _BUCKET + 1) * _BUCKET)
        for first, last, name, at in self._buckets.get(start // _BUCKET, ()):
            if first <= start < last:
                return min(last, end), name, at + start - first
            if first > start:
                return min(first, end), "", 0
        return end, "", 0


def _by_bucket(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, (start // _BUCKET + 1) * _BUCKET)
        yield start, stop
        start = stop
