"""Other people's buffers."""

from __future__ import annotations

from coldpress.component import Buffer
from coldpress.errors import PageLength


def plain_bytes(buffer: Buffer) -> memoryview:
    """The buffer as plain bytes, whatever its format and shape.

    Raises `PageLength` if they are not contiguous.
    """
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise PageLength("the bytes of a page must be contiguous")
    return view if view.ndim == 1 and view.format == "B" else view.cast("B")
