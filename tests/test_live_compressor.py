"""Another compressor for a running pipeline: what it made before stays readable, and is counted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard
from live import Held, Stored, opened, with_plugins

from coldpress import CompressorError, ConfigError, Pipeline
from coldpress.testing.pages import PAGE, page

SLOTS = range(512)
either = pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])


def retired(pipeline: Pipeline) -> int:
    return pipeline.stats().retired_codec_pages


@either
@pytest.mark.parametrize("cache", [0, 8])
def test_old_objects_stay_readable_and_are_counted_until_rewritten(
    synchronous: bool, cache: int
) -> None:
    with opened(synchronous, cache={"pages": cache}) as pipeline:
        stored = Stored(pipeline)
        stored.store(range(256), "text")
        stored.store_folios(range(256, 512))
        pipeline.sync()  # nothing in the cache, and all of it on the device too
        assert (retired(pipeline), pipeline.stats().reconfigurations) == (0, 0)
        for number, compressor in enumerate(["zstd", "brotli"], 1):
            pipeline.reconfigure({"compressor": {"use": compressor}})
            stats = pipeline.stats()
            assert (stats.retired_codec_pages, stats.reconfigurations) == (512, number)
            stored.check()
        stored.store(range(96), "text")
        stored.invalidate(range(96, 128))
        stored.store(range(256, 288), "noise")  # stored as they are, page by page
        pipeline.sync()
        assert retired(pipeline) == 512 - 96 - 32 - 32
        stored.check()
        for slots in (range(256), range(256, 512)):
            stored.store(slots, "text")
            pipeline.sync()
        assert retired(pipeline) == 0
        pipeline.reconfigure({"compressor": {"use": "lz4"}})
        assert retired(pipeline) == 512
        stored.check()


def test_each_object_is_read_by_the_compressor_that_made_it() -> None:
    with opened(allocator={"limit": "1MiB"}) as pipeline:
        stored = Stored(pipeline)
        made = {}
        for part, use in enumerate(["lz4", "zstd", "brotli", "none"]):
            pipeline.reconfigure({"compressor": {"use": use}})
            stored.store(range(part * 20, part * 20 + 20), "text")
            made[pipeline._codecs.current[0]] = pipeline.config.compressor
        assert list(made) == [1, 2, 3, 4]
        calls: list[str] = []
        for compressor in made.values():
            decompress = compressor.decompress

            def counted(
                data: Any, size: int, name: str = compressor.name, call: Any = decompress
            ) -> bytes:
                calls.append(name)
                found: bytes = call(data, size)
                return found

            compressor.decompress = counted  # type: ignore[method-assign]
        stored.check()
        assert calls == [name for name in ("lz4", "zstd", "brotli", "none") for _ in range(20)]


def test_what_is_kept_without_a_compressor_is_not_counted() -> None:
    with opened(allocator={"limit": "2MiB"}) as pipeline:
        stored = Stored(pipeline)
        for slots, kind in ((range(50), "zero"), (range(50, 100), "noise")):
            stored.store(slots, kind)
        stored.store(range(100, 150), "text")
        pipeline.reconfigure({"compressor": {"use": "zstd"}})
        assert retired(pipeline) == 50
        stored.store(range(100, 150), "zero")
        assert retired(pipeline) == 0
        stored.check()


def test_going_back_to_a_compressor_takes_its_codec_id_again() -> None:
    with opened() as pipeline:
        stored = Stored(pipeline)
        stored.store(SLOTS, "text")
        ids = []
        for table in (
            {"use": "zstd"},
            {"use": "zstd", "level": 5},
            {"use": "lz4"},
            {"level": 5, "use": "zstd"},
            {"use": "lz4", "acceleration": 1},
        ):
            pipeline.reconfigure({"compressor": table})
            ids.append(pipeline._codecs.current[0])
        assert ids == [2, 3, 1, 3, 1]
        assert retired(pipeline) == 0
        stored.store(range(40), "text")
        pipeline.reconfigure({"compressor": {}})  # the same again
        assert (pipeline._codecs.current[0], retired(pipeline)) == (1, 0)
        stored.check()


def test_the_same_compressor_again_costs_no_byte_a_slot() -> None:
    with opened() as pipeline:
        pipeline.reconfigure({"compressor": {"use": "lz4"}})
        assert pipeline._entries.origins is None
        pipeline.reconfigure({"compressor": {"use": "zstd"}})
        assert pipeline._entries.origins is not None


def test_the_tables_have_24_bytes_a_page_and_one_more_with_a_second_compressor() -> None:
    slots = 40_000
    tables = {"allocator": {"limit": "64MiB", "chain": 8}, "packer": {"block": "64KiB"}}
    with opened(True, slots=slots, device={"size": "16MiB"}, **tables) as pipeline:
        body = page("mixed", 1, 1)[:600] + bytes(PAGE - 604)
        for slot in range(slots):
            pipeline.store(slot, slot.to_bytes(4, "little") + body)
        assert pipeline.stats().metadata_bytes <= 24 * slots
        pipeline.reconfigure({"compressor": {"use": "zstd"}})
        assert pipeline.stats().metadata_bytes <= 25 * slots + PAGE
        assert retired(pipeline) == slots


def test_a_dictionary_that_was_written_anew_is_another_compressor(tmp_path: Path) -> None:
    file = tmp_path / "pages.dict"
    samples = [page("text", slot, 0) for slot in range(200)]
    table = {"compressor": {"use": "zstd", "dictionary": str(file)}}
    with opened(allocator={"limit": "1MiB"}) as pipeline:
        stored = Stored(pipeline)
        for part, size in enumerate((4096, 8192, 8192)):
            file.write_bytes(zstandard.train_dictionary(size, samples).as_bytes())
            pipeline.reconfigure(table)
            stored.store(range(part * 50, part * 50 + 50), "text")
        assert pipeline._codecs.current[0] == 3
        file.unlink()
        stored.check()


def test_codec_ids_come_to_an_end() -> None:
    with opened(allocator={"limit": "1MiB"}) as pipeline:
        stored = Stored(pipeline)
        for number in range(1, 255):
            pipeline.reconfigure({"compressor": {"use": "lz4", "acceleration": number}})
            stored.pages[number] = b"%04d" % number + bytes(PAGE - 4)
            pipeline.store(number, stored.pages[number])
        with pytest.raises(
            ConfigError, match=r"^compressor: 254 different compressors .* no codec id is left"
        ):
            pipeline.reconfigure({"compressor": {"use": "zstd"}})
        assert pipeline.config.names["compressor"] == "lz4"
        pipeline.reconfigure({"compressor": {"use": "lz4", "acceleration": 7}})
        assert (pipeline._codecs.current[0], retired(pipeline)) == (7, 253)
        stored.check()


def change_while_one_is_compressing(pages: int) -> None:
    registry = with_plugins(compressor=[Held])
    with opened(False, registry, compressor={"use": "held"}) as pipeline:
        stored = Stored(pipeline)
        held: Any = pipeline.config.compressor
        held.begun.clear()
        held.go.clear()
        thread = threading.Thread(target=stored.store_folios, args=(range(pages), pages))
        thread.start()
        assert held.begun.wait(60)
        pipeline.reconfigure({"compressor": {"use": "lz4"}})
        held.go.set()
        thread.join()
        assert pipeline.load(0) == stored.pages[0]
        assert retired(pipeline) == pages
        stored.check()


@pytest.mark.parametrize("pages", [1, 8])
def test_what_is_being_compressed_keeps_the_id_of_its_compressor(pages: int) -> None:
    change_while_one_is_compressing(pages)


def test_a_new_id_on_old_bytes_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from coldpress_plugins.entry_types.zswap import Zswap

    def late(self: Any, slot: int, prepared: Any) -> int:
        data, _, order = prepared
        payload: int = self._store(slot, self._codecs.current[0], order, data)
        return payload

    monkeypatch.setattr(Zswap, "commit", late)
    with pytest.raises(CompressorError):
        change_while_one_is_compressing(1)


def test_changes_while_everything_moves_are_counted_right() -> None:
    # Promotion, readahead, cleaning, clean copies, folios that end page by page.
    tables = {
        "writeback": {"promote": "first", "readahead": True},
        "device": {"size": "640KiB"},
    }
    with opened(**tables) as pipeline:
        stored = Stored(pipeline)
        newest: dict[int, str] = {}
        uses = ["zstd", "lz4", "brotli"]
        for turn in range(12):
            pipeline.reconfigure({"compressor": {"use": uses[turn % 3]}})
            part = range(turn % 4 * 64, turn % 4 * 64 + 64)
            stored.store(part, "text")
            newest |= dict.fromkeys(part, uses[turn % 3])
            folios = range(256 + turn % 3 * 64, 256 + turn % 3 * 64 + 40)
            stored.store_folios(folios)
            newest |= dict.fromkeys(folios, uses[turn % 3])
            stored.store(range(folios.start, folios.stop, 3), "zero")
            for slot in range(folios.start, folios.stop, 3):
                newest.pop(slot)
            pipeline.sync()
            stored.check()
            expected = sum(use != uses[turn % 3] for use in newest.values())
            assert retired(pipeline) == expected
        stats = pipeline.stats()
        assert stats.cleaned_blocks > 0
        assert stats.promoted_pages > 0
        assert stats.readahead_pages > 0
