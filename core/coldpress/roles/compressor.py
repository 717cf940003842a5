"""The compressor role."""

from __future__ import annotations

import abc
from typing import Any

import attrs

from coldpress.component import Buffer, Component, option_values


@attrs.define(slots=False, eq=False, kw_only=True)
class Compressor(Component):
    """One folio in, fewer bytes out, and back.

    A compressor is deterministic enough to be reversible and keeps nothing from one call to the
    next: each object stands alone, because each is read back alone.

    Example:
        ```python
        import zlib

        import attrs
        import coldpress


        @attrs.define(slots=False, eq=False, kw_only=True)
        class Zlib(coldpress.Compressor):
            \"\"\"Deflate, from the standard library.\"\"\"

            name = "zlib"
            level: int = coldpress.option(default=6, help="1 (fast) to 9 (dense)")

            def compress(self, page: coldpress.Buffer) -> bytes:
                return zlib.compress(page, self.level)

            def decompress(self, data: coldpress.Buffer, size: int) -> bytes:
                return zlib.decompressobj().decompress(data, size)


        @coldpress.hookimpl
        def coldpress_compressors() -> list[type[coldpress.Compressor]]:
            return [Zlib]
        ```

    Notes:
        Called by any number of threads at once, without a lock: keep one codec context per thread
        if the codec's own is not thread-safe. Both calls are the hot path; a context that costs
        microseconds to make must be reused.
    """

    def open(self) -> None:
        """Make ready, once, before the first call. May raise `PluginError` (a bad dictionary)."""

    def is_like(self, other: Compressor) -> bool:
        """Whether each of the two, both open, gives back what the other has compressed.

        A pipeline that goes back to a compressor that it had then goes back to its codec id. To be
        overridden if the options do not tell, because they name a file.
        """
        return type(self) is type(other) and option_values(self) == option_values(other)

    def portable(self) -> tuple[dict[str, Any], bytes]:
        """What it takes to decompress later what this one, which is open, has compressed.

        Options, which JSON can hold, and bytes, for `from_portable`: a persistent device keeps
        them. To be overridden if an option names a file.
        """
        return option_values(self), b""

    @classmethod
    def from_portable(cls, options: dict[str, Any], data: bytes) -> Compressor:
        """A compressor, not open, that decompresses what the one that these are of has made."""
        return cls(**options)

    @abc.abstractmethod
    def compress(self, page: Buffer) -> bytes:
        """The compressed form of `page` (1 to 16 whole pages, any contents).

        The result may be longer than the page: the pipeline then stores the page as it is.
        """

    @abc.abstractmethod
    def decompress(self, data: Buffer, size: int) -> bytes:
        """The `size` bytes that `compress` was given.

        `data` is exactly what `compress` returned, but may also be hostile: the call must not
        write outside its own result, nor make more than `size` bytes. Any exception is taken to
        mean that `data` is damaged.
        """
