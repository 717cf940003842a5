"""Zstandard: dense, and with a trained dictionary denser still."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import zstandard

from coldpress import Buffer, Compressor, option
from coldpress.folio import MAX_BYTES

# A page needs no magic number, no content size and no checksum of its own: 8 bytes saved on each.
_LARGEST_DICTIONARY = 16 << 20
_HAS_SIZE = 0xE0  # of a frame's first byte, the bits that tell of a content size
_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS


def _readable(instance: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is None:
        return
    path = Path(value)
    try:
        if not path.is_file():
            raise ValueError(f"dictionary {value!r} is not a file")
        if not 0 < path.stat().st_size <= _LARGEST_DICTIONARY:
            raise ValueError(f"dictionary {value!r} is empty or larger than 16MiB")
        zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"can not read dictionary {value!r}: {error.strerror}") from None
    except zstandard.ZstdError as error:
        raise ValueError(f"dictionary {value!r} can not be used: {error}") from None


@attrs.define(slots=False, eq=False, kw_only=True)
class Zstd(Compressor):
    """Zstandard frames without magic number; dense at a good speed.

    Notes:
        A context costs 8 us to make and is not thread-safe: each thread keeps its own.
    """

    name = "zstd"
    level: int = option(
        default=1,
        help="-50 (fast) to 22 (dense)",
        validator=attrs.validators.and_(attrs.validators.ge(-50), attrs.validators.le(22)),
    )
    dictionary: str | None = option(
        default=None,
        help="file with a dictionary trained on pages like these (zstd --train)",
        validator=_readable,
    )
    _given: bytes = attrs.field(init=False, default=b"")  # a dictionary without a file

    def open(self) -> None:
        self._threads = threading.local()
        self._dictionary = None
        self._trained = self._given
        if self.dictionary is not None:
            self._trained = Path(self.dictionary).read_bytes()
        # What a frame of the longest folio may refer back to, at most.
        self._window = 1 << (MAX_BYTES + len(self._trained)).bit_length()
        if self._trained:
            self._dictionary = zstandard.ZstdCompressionDict(self._trained)
            self._dictionary.precompute_compress(level=self.level)

    def is_like(self, other: Compressor) -> bool:
        # Not by the dictionary's path: the file may have been written anew.
        return type(other) is type(self) and other.portable() == self.portable()

    def portable(self) -> tuple[dict[str, Any], bytes]:
        return {"level": self.level}, self._trained

    @classmethod
    def from_portable(cls, options: dict[str, Any], data: bytes) -> Zstd:
        if set(options) != {"level"}:  # a dictionary's file is none of a device's concern
            raise ValueError(f"expected a level alone, got {', '.join(options) or 'nothing'}")
        one = cls(**options)
        one._given = data
        return one

    def compress(self, page: Buffer) -> bytes:
        try:
            compress = self._threads.compress
        except AttributeError:
            compress = self._new_compressor()
        data: bytes = compress(page)
        return data

    def decompress(self, data: Buffer, size: int) -> bytes:
        # A frame that says how long it is would get that much memory, whatever `size` is.
        if data[0] & _HAS_SIZE:
            raise ValueError("the frame says how long it is, which none of these does")
        try:
            decompress = self._threads.decompress
        except AttributeError:
            decompress = self._threads.decompress = zstandard.ZstdDecompressor(
                dict_data=self._dictionary, format=_FORMAT, max_window_size=self._window
            ).decompress
        page: bytes = decompress(data, max_output_size=size, allow_extra_data=False)
        return page

    def _new_compressor(self) -> Callable[[Buffer], bytes]:
        parameters = zstandard.ZstdCompressionParameters(
            compression_level=self.level,  # and the library fits its tables to each input's size
            format=_FORMAT,
            write_content_size=False,
            write_checksum=False,
            write_dict_id=False,
        )
        compressor = zstandard.ZstdCompressor(
            dict_data=self._dictionary, compression_params=parameters
        )
        self._threads.compress = compressor.compress
        return compressor.compress
