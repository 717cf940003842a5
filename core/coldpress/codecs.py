"""The compressors of a pipeline by codec id, and the one way back from stored bytes to a page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack

from coldpress.component import Buffer
from coldpress.errors import CompressorError, ConfigError, Problem
from coldpress.layout import MOST_IDS
from coldpress.roles.compressor import Compressor

STORED = 0
"""The codec id of bytes that were not compressed."""

Writer = tuple[int, Callable[[Buffer], bytes]]


class Codecs:
    """Codec ids: 0 means stored as it is; ids from 1 on are compressors, never used twice.

    `known`: those that have an id already, open; `taken`: ids besides that mean something. The
    `compressor` is not open.

    Attributes: `current` is the id that new objects get and its compressor's `compress`. It may be
    replaced at any time: one look gives the two that belong together, and the id must go along
    with what was compressed.

    Notes: thread-safe; `use` is called by one thread at a time.
    """

    def __init__(
        self,
        compressor: Compressor,
        known: Mapping[int, Compressor] | None = None,
        taken: Collection[int] = (),
    ) -> None:
        self._by_id = dict(known or {})
        self._taken = max(taken, default=0)
        compressor.open()
        codec = self.id_for(compressor)
        self._by_id[codec] = compressor
        self.current: Writer = codec, compressor.compress

    def id_for(self, compressor: Compressor) -> int:
        """The id that an open compressor has, if one that is like it has one; else the next.

        Raises `ConfigError` if there is none left.
        """
        for codec, known in self._by_id.items():
            if compressor.is_like(known):
                return codec
        codec = max([self._taken, *self._by_id]) + 1
        if codec > MOST_IDS:
            message = (
                f"{MOST_IDS} different compressors have been used in this pipeline, "
                "and no codec id is left for another; each of them can be used again"
            )
            raise ConfigError([Problem("compressor", message)])
        return codec

    def use(self, codec: int, compressor: Compressor, undo: ExitStack) -> None:
        """New objects get this id, which `id_for` gave, and are compressed by this one."""
        undo.callback(self._set, self._by_id, self.current)
        self._set({**self._by_id, codec: compressor}, (codec, compressor.compress))

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

    def _set(self, by_id: dict[int, Compressor], current: Writer) -> None:
        self._by_id = by_id  # first: nothing has an id that can not be decoded
        self.current = current
