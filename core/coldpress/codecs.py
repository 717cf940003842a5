"""The compressors of a pipeline by codec id, and the one way back from stored bytes to a page."""

from __future__ import annotations

from coldpress.component import Buffer
from coldpress.errors import CompressorError
from coldpress.roles.compressor import Compressor

STORED = 0
"""The codec id of bytes that were not compressed."""


class Codecs:
    """Codec ids: 0 means stored as it is; ids from 1 on are compressors, never used twice.

    Attributes: `current` is the id that new objects get, `compress` its compressor's method.

    Notes: thread-safe.
    """

    def __init__(self, compressor: Compressor) -> None:
        compressor.open()
        self.current = 1
        self.compress = compressor.compress
        self._by_id = {self.current: compressor}

    def decode(self, codec: int, data: Buffer, size: int) -> bytes:
        """The `size` bytes that became `data`. Raises `CompressorError`."""
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
