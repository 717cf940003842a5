"""Devices added to a pipeline and drained, while nothing else goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from device_sets import MEMORY, check_live, fill, member, opened, slots_on, verify

from coldpress import ConfigError, DeviceUnusable, Pipeline
from coldpress.layout import SUPERBLOCK_MAGIC
from coldpress.testing.leftovers import descriptors
from coldpress.testing.pages import PAGE, page

PACKERS = [
    {"use": "bounce", "block": "16KiB"},
    {"use": "zspage", "block": "32KiB"},
    {"use": "zsmalloc", "block": "16KiB"},
    {"use": "aligned", "block": "16KiB"},
    {"use": "page", "block": "4KiB"},
]
either = pytest.mark.parametrize("synchronous", [True, False], ids=["inline", "background"])


@either
@pytest.mark.parametrize("packer", PACKERS, ids=lambda packer: packer["use"])
def test_what_was_on_a_drained_device_is_on_the_other(
    packer: dict[str, str], synchronous: bool
) -> None:
    with opened(packer=packer, synchronous=synchronous) as pipeline:
        model = fill(pipeline)
        (first,) = pipeline.devices()
        assert (first.number, first.name, first.size, first.state) == (0, "memory", 4 << 20, "open")
        assert 0 < first.live_bytes <= first.used_bytes
        assert pipeline.add_device(MEMORY) == 1
        decompressions = pipeline.stats().writeback_decompressions
        live = member(pipeline, 0).space.live_bytes
        moved = pipeline.drain_device(0)
        assert moved == live if synchronous else moved > 0  # blocks were on their way
        (second,) = pipeline.devices()
        assert second.number == 1
        if synchronous:
            assert second.live_bytes == pipeline.stats().live_bytes == live
            assert second.used_bytes == pipeline.stats().device_bytes
            assert pipeline.stats().writeback_decompressions == decompressions
        verify(pipeline, model)
        model |= fill(pipeline, 100, version=1)
        verify(pipeline, model)
    with pytest.raises(Exception, match="device is closed"):
        pipeline.config.device.flush()


MIXES = [("memory", "file"), ("file", "nvme"), ("nvme", "memory")]


@pytest.mark.parametrize("mix", MIXES, ids="-".join)
def test_devices_of_all_kinds_together(mix: tuple[str, str], tmp_path: Path) -> None:
    def table(number: int) -> dict[str, Any]:
        use = mix[number % 2]
        path = {} if use == "memory" else {"path": str(tmp_path / f"{number}.img")}
        return {"use": use, "size": "2MiB", **path}

    before = descriptors()
    with opened(device=table(0)) as pipeline:
        model = fill(pipeline, 300)
        for number in range(1, 4):
            assert pipeline.add_device(table(number)) == number
            if "path" in table(number):
                start = Path(table(number)["path"]).read_bytes()[:8]
                assert start == SUPERBLOCK_MAGIC
            model |= fill(pipeline, 100 * number, version=number)
            assert slots_on(pipeline, number)
            verify(pipeline, model)
            pipeline.drain_device(number - 1)
            if "path" in table(number - 1):
                assert not Path(table(number - 1)["path"]).exists()
            verify(pipeline, model)
        pipeline.sync()
    assert descriptors() <= before


def test_blocks_go_where_the_smallest_share_is_in_use() -> None:
    with opened() as pipeline:
        fill(pipeline)
        before = member(pipeline, 0).space.in_use
        pipeline.add_device({"use": "memory", "size": "8MiB"})
        fill(pipeline, 100, version=1)
        assert member(pipeline, 0).space.in_use <= before
        assert member(pipeline, 1).space.in_use > 0
        for version in range(2, 8):
            fill(pipeline, 1000, version=version)
        shares = [one.space.in_use / one.space.count for one in pipeline._store.space.members]
        assert abs(shares[0] - shares[1]) < 0.2


def test_clean_copies_move_and_are_still_good() -> None:
    with opened(writeback={"promote": "first"}) as pipeline:
        model = fill(pipeline)
        promoted = slots_on(pipeline, 0)[:20]
        for slot in promoted:
            pipeline.load(slot)
        stats = pipeline.stats()
        assert stats.promoted_pages >= len(promoted)
        assert any(pipeline._entries._clean[slot] for slot in promoted)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        check_live(pipeline)
        assert any(pipeline._entries._clean[slot] for slot in promoted)
        model |= {slot: page("mixed", slot, 1) for slot in range(500, 700)}
        for slot in range(500, 700):  # what was promoted leaves again
            pipeline.store(slot, model[slot])
        assert pipeline.stats().clean_drops > stats.clean_drops
        verify(pipeline, model)


def test_what_was_synced_and_is_in_ram_moves_too() -> None:
    with opened(device={"use": "memory", "size": "4MiB"}) as pipeline:
        model = {slot: page("mixed", slot, 0) for slot in range(20)}  # less than the pool has
        for slot, data in model.items():
            pipeline.store(slot, data)
        pipeline.sync()
        assert len(slots_on(pipeline, 0)) == 20
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        assert len(slots_on(pipeline, 1)) == 20
        verify(pipeline, model)


@pytest.mark.parametrize("readahead", [False, True])
def test_folios_move_whole(readahead: bool) -> None:
    tables = {"writeback": {"promote": "first", "readahead": readahead}}
    with opened(**tables) as pipeline:
        model: dict[int, bytes] = {}
        for first in range(0, 512, 8):
            folio = {slot: page("text", slot, 0) for slot in range(first, first + 8)}
            pipeline.store(first, b"".join(folio.values()))
            model |= folio
        for slot in (3, 64, 65, 66, 67, 68, 69, 70, 71):  # a part of one folio, all of another
            pipeline.invalidate(slot)
            del model[slot]
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        assert slots_on(pipeline, 1)
        verify(pipeline, model)
        back = bytearray(8 * PAGE)
        pipeline.load_many(8, back)
        assert back == b"".join(model[slot] for slot in range(8, 16))


def test_an_object_seen_once_is_promoted_at_the_second_read_from_another_device() -> None:
    with opened(writeback={"promote": "second"}) as pipeline:
        fill(pipeline)
        slot = slots_on(pipeline, 0)[0]
        pipeline.load(slot)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        before = pipeline.stats().promoted_pages
        pipeline.load(slot)
        assert pipeline.stats().promoted_pages == before + 1


def test_mostly_dead_blocks_are_packed_together() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        for slot in list(model):
            if slot % 4:
                pipeline.invalidate(slot)
                del model[slot]
        (before,) = pipeline.devices()
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        (after,) = pipeline.devices()
        assert after.live_bytes == before.live_bytes
        assert after.used_bytes < before.used_bytes / 2
        verify(pipeline, model)


def test_offsets_of_a_drained_device_are_used_again_and_numbers_are_not() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        ends = []
        for number in range(1, 6):
            assert pipeline.add_device({"use": "memory", "size": "3MiB"}) == number
            pipeline.drain_device(number - 1)
            ends.append(max(one.end for one in pipeline._store.space.members))
            model |= fill(pipeline, 200, version=number)
        verify(pipeline, model)
        assert max(ends) == 7 << 20


def test_counters_are_sums_over_the_devices_and_outlive_them() -> None:
    with opened() as pipeline:
        fill(pipeline)
        pipeline.add_device(MEMORY)
        fill(pipeline, version=1)
        stats, each = pipeline.stats(), pipeline.devices()
        assert all(one.live_bytes for one in each)
        assert stats.device_bytes == sum(one.used_bytes for one in each)
        assert stats.live_bytes == sum(one.live_bytes for one in each)
        pipeline.drain_device(0)
        after = pipeline.stats()
        assert after.live_bytes == stats.live_bytes
        assert after.stored_pages == stats.stored_pages
        assert after.writeback_blocks > stats.writeback_blocks
        assert after.cleaned_blocks == stats.cleaned_blocks


def test_the_cleaner_works_across_devices() -> None:
    # Together the two devices have a little more room than what is live takes.
    with opened(device={"use": "memory", "size": "1MiB"}, slots=600) as pipeline:
        pipeline.add_device({"use": "memory", "size": "768KiB"})
        model: dict[int, bytes] = {}
        for version in range(8):
            slots = range(version % 3, 520, 1 if version == 0 else 3)
            for slot in slots:
                model[slot] = page("mixed", slot, version)
                pipeline.store(slot, model[slot])
        assert pipeline.stats().cleaned_blocks > 10
        verify(pipeline, model)


# -- what is refused ------------------------------------------------------------------------


def refused(pipeline: Pipeline, table: Any) -> ConfigError:
    before, there = pipeline.devices(), descriptors()
    with pytest.raises(ConfigError) as caught:
        pipeline.add_device(table)
    assert pipeline.devices() == before
    assert descriptors() <= there
    return caught.value


def test_all_that_is_wrong_with_a_device_is_told_at_once() -> None:
    with opened() as pipeline:
        error = refused(pipeline, {"use": "file", "size": "40KiB", "pth": "x"})
        assert [str(one) for one in error.problems] == [
            "device.size: 'size' in [device]: must be at least 72KiB for blocks of 16KiB, "
            "got 40KiB",
            "device.pth: unknown key 'pth' in [device] file; did you mean 'path'?",
        ]
        assert "unknown device 'tape'; installed: file" in str(refused(pipeline, {"use": "tape"}))
        assert "expected a table [device]" in str(refused(pipeline, "file"))
        kept = {"use": "file", "path": "kept.img", "size": "1MiB", "persistent": True}
        assert "a persistent device has that one alone" in str(refused(pipeline, kept))


def test_all_devices_together_have_as_many_bytes_as_a_word_can_say(tmp_path: Path) -> None:
    with opened() as pipeline:
        largest = pipeline._entries.device_type.largest_device
        image = tmp_path / "much.img"
        much = {"use": "file", "path": str(image), "size": largest - (4 << 20) + 1}
        error = refused(pipeline, much)
        assert str(error).startswith("device.size: 'size' in [device] file: with the devices there")
        assert not image.exists()


def test_a_device_that_can_not_be_opened_changes_nothing(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.img"
    foreign.write_bytes(b"somebody's data" * 1000)
    ours = {"use": "file", "path": str(tmp_path / "cold.img"), "size": "4MiB"}
    with opened(device=ours) as pipeline:
        model = fill(pipeline)
        before = pipeline.devices()
        for table, why in (
            ({**ours, "path": str(foreign)}, "holds data that coldpress did not write"),
            (ours, "is in use by another process"),
            ({**ours, "path": str(tmp_path / "none" / "cold.img")}, "there is no directory"),
        ):
            with pytest.raises(DeviceUnusable, match=why):
                pipeline.add_device(table)
        assert pipeline.devices() == before
        assert foreign.read_bytes() == b"somebody's data" * 1000
        verify(pipeline, model)


def test_a_device_that_needs_larger_pages_is_refused(monkeypatch: Any) -> None:
    from coldpress_plugins.devices.memory import MemoryDevice

    with opened() as pipeline:
        monkeypatch.setattr(MemoryDevice, "alignment", 8192)
        with pytest.raises(DeviceUnusable, match="aligned to 8192 bytes, pages have 4096"):
            pipeline.add_device(MEMORY)
        assert len(pipeline.devices()) == 1


def test_which_devices_can_not_be_drained() -> None:
    with opened() as pipeline:
        model = fill(pipeline)
        with pytest.raises(ConfigError, match="device 0 is the only one; add another before"):
            pipeline.drain_device(0)
        with pytest.raises(ConfigError, match="there is no device 1; there is 0"):
            pipeline.drain_device(1)
        pipeline.add_device(MEMORY)
        pipeline.drain_device(0)
        with pytest.raises(ConfigError, match="there is no device 0; there is 1"):
            pipeline.drain_device(0)
        verify(pipeline, model)


def test_an_added_device_is_told_of_as_any_other() -> None:
    with opened() as pipeline:
        pipeline.add_device({"use": "memory", "size": "2MiB"})
        assert [attrs.astuple(one) for one in pipeline.devices()] == [
            (0, "memory", 4 << 20, 0, 0, "open", 0, ""),
            (1, "memory", 2 << 20, 0, 0, "open", 0, ""),
        ]
