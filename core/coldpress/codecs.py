"""The compressors of a pipeline by codec id, and the one way back from stored bytes to a page."""

from __future__ import annotations

import threading

from coldpress.component import Buffer
from coldpress.errors import CompressorError
from coldpress.roles.compressor import Compressor

STORED = 0
"""The codec id of bytes that were not compressed."""


class Codecs:
    """Codec ids: 0 means stored as it is; ids from 1 on are compressors, never used twice.

    Attributes: `current` is the id that new objects get, `compress` its compressor's method.
    `writeback_decodes` counts decompressions by a thread while it writes pages back.

    Notes: thread-safe.
    """

    def __init__(self, compressor: Compressor) -> None:
        compressor.open()
        self.current = 1
        self.compress = compressor.compress
        self.writeback_decodes = 0
        self._by_id = {self.current: compressor}
        self._writer: int | None = None

    def decode(self, codec: int, data: Buffer, size: int) -> bytes:
        """The `size` bytes that became `data`. Raises `CompressorError`."""
        if self._writer is not None and self._writer == threading.get_ident():
            self.writeback_decodes += 1
        if codec == STORED:
            page = bytes(data)
        else:
            compressor = self._by_id.get(codec)
            if compressor is None:
                raise CompressorError(f"no compressor has codec id {codec}")
            try:
                page = compressor.decompress(data, size)
            except Exception as error:  # whatever a codec raises on bytes that it does not like
                name = compressor.name
                raise CompressorError(f"{name} can not decompress an object: {error}") from error
        if len(page) != size:
            raise CompressorError(f"an object gave {len(page)} bytes for a page of {size}")
        return page

    def begin_writeback(self) -> None:
        """From now on this thread's decompressions are the writeback's."""
        self._writer = threading.get_ident()

    def end_writeback(self) -> None:
        """Until now."""
        self._writer = None
