"""CRC-32 (the polynomial of zlib and PNG), by the processor's carry-less multiplication."""

from __future__ import annotations

from zlib_ng.zlib_ng import crc32

__all__ = ["crc32"]
