"""Doubly linked lists of a pool's pages, by how much room they have."""

from __future__ import annotations

from coldpress.flat import resident, table


class GroupedLists:
    """Lists of numbers; a number is in one of them at most, and who calls knows in which.

    Links are two words per number, next and previous, at `links[number * stride]`: in a table of
    their own, or in the pages themselves. They hold numbers plus one; zero ends a list.

    Parameters: `links`, a view of "I"; `stride` in words; `lists`, how many lists there are.

    Notes: not thread-safe; the pipeline calls under its lock. All O(1), `lowest` and `highest` in
    the number of lists that they are told to search.
    """

    def __init__(self, links: memoryview, stride: int, lists: int) -> None:
        self._links = links
        self._stride = stride
        self._heads = table("I", lists)

    def push(self, number: int, group: int) -> None:
        """Put a number, which is in no list, first in this one."""
        links = self._links
        at = number * self._stride
        head = self._heads[group]
        links[at] = head
        links[at + 1] = 0
        if head:
            links[(head - 1) * self._stride + 1] = number + 1
        self._heads[group] = number + 1

    def drop(self, number: int, group: int) -> None:
        """Take a number out of the list that it is in."""
        links = self._links
        at = number * self._stride
        after = links[at]
        before = links[at + 1]
        if before:
            links[(before - 1) * self._stride] = after
        else:
            self._heads[group] = after
        if after:
            links[(after - 1) * self._stride + 1] = before

    def first(self, group: int) -> int:
        """The number pushed last, or -1 if the list is empty."""
        head = self._heads[group]
        return head - 1

    def after(self, number: int) -> int:
        """The next one in the same list, or -1."""
        after = self._links[number * self._stride]
        return after - 1

    def lowest(self, start: int, stop: int) -> int:
        """The first list from `start` up to, not including, `stop` that is not empty; or -1."""
        heads = self._heads
        for group in range(start, stop):
            if heads[group]:
                return group
        return -1

    def highest(self, start: int, stop: int) -> int:
        """The last list from `start` up to, not including, `stop` that is not empty; or -1."""
        heads = self._heads
        for group in range(stop - 1, start - 1, -1):
            if heads[group]:
                return group
        return -1

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the lists' heads that are in RAM; the links are the caller's."""
        return resident(self._heads)
