"""The frontend role."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import attrs

from coldpress.component import Component

if TYPE_CHECKING:
    from coldpress.pipeline import Pipeline


@attrs.define(slots=False, eq=False, kw_only=True)
class Frontend(Component):
    """Puts a pipeline under someone's program: a block device server, a file system, a mapping.

    A frontend owns neither the pipeline nor its lifetime. Servers listen on a unix socket, which is
    its owner's alone, or on loopback unless told otherwise, and check every length from the wire
    before they use it. What was acknowledged is in the pipeline when `serve` has returned.

    Notes:
        `serve` runs in one thread of the caller's; `stop` may come from any other, or from a signal
        handler, and returns at once.
    """

    @abc.abstractmethod
    def serve(self, pipeline: Pipeline) -> None:
        """Serve until `stop` is called; then finish the requests that were begun, and return.

        What a request raises is the answer to it, and nothing else ends. Nothing is left behind: no
        thread, no descriptor, no socket. It may be called again.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Make `serve` return soon. It is no error before `serve`, nor a second time."""
