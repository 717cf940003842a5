"""A running pipeline changes around an entry type whose objects never leave the pool."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from live import Stored, opened, with_plugins

import coldpress
from coldpress import ConfigError
from coldpress.testing.pages import PAGE


@attrs.define(slots=False, eq=False, kw_only=True)
class Pinned(coldpress.EntryType):
    """Pages whose first byte is odd, compressed, in the pool until they are overwritten."""

    name = "pinned"
    in_allocator = True

    def open(self, context: coldpress.EntryContext) -> None:
        self._codecs, self._allocator = context.codecs, context.allocator
        self._objects: dict[int, tuple[int, int, int]] = {}
        self._next = 0

    def prepare(self, page: memoryview) -> Any | None:
        codec, compress = self._codecs.current
        return (codec, compress(page)) if page[0] & 1 else None

    def commit(self, slot: int, prepared: Any) -> int:
        codec, data = prepared
        handle = self._allocator.alloc(data, slot)
        if handle < 0:
            return -1
        self._next += 1
        self._objects[self._next] = handle, codec, len(data)
        return self._next

    def fetch(self, slot: int, payload: int) -> tuple[int, bytes]:
        handle, codec, length = self._objects[payload]
        return codec, self._allocator.read(handle, length)

    def decode(self, token: tuple[int, bytes]) -> bytes:
        return self._codecs.decode(*token, PAGE)

    def codec(self, payload: int) -> int:
        return self._objects[payload][1]

    def release(self, payload: int) -> None:
        self._allocator.free(self._objects.pop(payload)[0])


def test_what_is_never_written_back_holds_up_the_next_allocator_alone() -> None:
    registry = with_plugins(entry_type=[Pinned])
    with opened(True, registry, entries=["filled", "pinned", "zswap", "raw"]) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(60), "text")  # of these the odd ones
        for changes in ({"compressor": {"use": "zstd"}}, {"allocator": {"use": "zbud"}}):
            pipeline.reconfigure(changes)
        stored.store(range(100, 500, 2), "text")
        stats = pipeline.stats()
        pinned = sum(data[0] & 1 for slot, data in stored.pages.items() if slot < 60)
        assert (pinned, stats.retired_pool_pages, stats.retired_codec_pages) == (30, 30, 60)
        with pytest.raises(ConfigError, match=r"^allocator: .* 30 pages that are never written"):
            pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
        pipeline.reconfigure({"policy": {"use": "clock"}})
        stored.check()
        stored.store(range(60), "text")
        pipeline.reconfigure({"allocator": {"use": "zsmalloc"}})
        stored.invalidate(range(512))
        stats = pipeline.stats()
        assert (stats.retired_pool_pages, stats.retired_codec_pages) == (0, 0)
        assert pipeline._pools.retired == 0
        stored.check()
