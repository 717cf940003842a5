"""The progress bar of long work."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """One bar on stderr, gone when the work is done; nothing at all unless `show`.

    Attributes: `title`, a text in front of the names of the phases that begin from now on.

    Notes: not thread-safe.
    """

    def __init__(self, show: bool = False) -> None:
        self.title = ""
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not show,
        )
        self._task = self._bars.add_task("", total=None, visible=False)

    def phase(self, name: str, total: int) -> None:
        """A new part of the work begins, `total` steps long."""
        self._bars.reset(self._task, description=f"{self.title}{name}", total=total, visible=True)

    def reading(self, done: int, total: int) -> None:
        """So many of the blocks of a persistent device were read."""
        if not done:
            self.phase("reading the device", total)
        self._bars.update(self._task, completed=done)

    def advance(self, steps: int) -> None:
        """That many more steps are done. Costs microseconds: not for every page."""
        self._bars.advance(self._task, steps)

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()
