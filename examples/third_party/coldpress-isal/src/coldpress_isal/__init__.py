"""Deflate through ISA-L, as a compressor for coldpress."""

from __future__ import annotations

import attrs
from isal import igzip_lib

import coldpress


@attrs.define(slots=False, eq=False, kw_only=True)
class Isal(coldpress.Compressor):
    """Deflate streams, written and read quicker than by zlib, through Intel's ISA-L.

    An object is a bare deflate stream, without the header and the trailer of zlib or gzip: the
    pipeline has a checksum and a length of its own.

    Notes:
        Thread-safe: each call has its own stream.
    """

    name = "isal"
    level: int = coldpress.option(
        default=1,
        help="0 (fast) to 3 (dense)",
        validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(3)),
    )

    def compress(self, page: coldpress.Buffer) -> bytes:
        data: bytes = igzip_lib.compress(page, self.level, igzip_lib.COMP_DEFLATE)
        return data

    def decompress(self, data: coldpress.Buffer, size: int) -> bytes:
        # The call for a whole stream would follow a hostile one to any length: this has a bound.
        stream = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
        page: bytes = stream.decompress(data, size)
        if len(page) != size or not stream.eof:
            raise ValueError(f"the stream does not end after {size} bytes")
        if stream.unused_data:
            raise ValueError(f"{len(stream.unused_data)} bytes follow the end of the stream")
        return page


@coldpress.hookimpl
def coldpress_compressors() -> list[type[coldpress.Compressor]]:
    return [Isal]


__all__ = ["Isal"]
