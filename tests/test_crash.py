"""What a crash leaves: of each slot the value at the last sync, or one that was stored later."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from crashes import crash
from once import on_one_python

import coldpress
from coldpress import checkpoint, tombstones
from coldpress.block import HEADER_BYTES
from coldpress.component import Buffer
from coldpress.devicespace import DeviceSpace
from coldpress.durable import DurableEntries
from coldpress.durablespace import DurableSpace
from coldpress.durablestore import DurableStore
from coldpress.moving import Move, Mover
from coldpress.roles import Placed
from coldpress.testing import CrashDevice, LyingDevice

pytestmark = on_one_python

HISTORIES = int(os.environ.get("COLDPRESS_CRASHES", "256"))
POINTS = 8  # crashes of each

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def often(monkeypatch: Patch) -> None:
    """Tombstones are looked through at every chance; else a history is too short for it."""
    monkeypatch.setattr(tombstones, "SHARE", 1 << 20)


@pytest.mark.parametrize("part", range(8))
def test_each_slot_holds_what_it_held_at_the_last_sync_or_later(part: int) -> None:
    looked = sum(crash(seed, POINTS) for seed in range(part, HISTORIES, 8))
    assert looked == POINTS * len(range(part, HISTORIES, 8))


def a_device_whose_flush_lies(patch: Patch) -> None:
    over = CrashDevice.over
    patch.setattr(CrashDevice, "over", lambda medium, **options: LyingDevice.over(over(medium)))


def records_written_after_the_header(patch: Patch) -> None:
    """What follows the header is on its way still when the block is taken for written."""
    write, flush = CrashDevice.write, CrashDevice.flush
    late: list[tuple[CrashDevice, int, bytes]] = []

    def catch_up() -> None:
        while late:
            device, offset, data = late.pop(0)
            if device._is_open:
                write(device, offset, data)

    def header_first(self: CrashDevice, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        catch_up()
        if bytes(view[:4]) != b"CPBK":
            write(self, offset, data)
            return
        write(self, offset, view[:HEADER_BYTES])
        late.append((self, offset + HEADER_BYTES, bytes(view[HEADER_BYTES:])))

    def then_the_rest(self: CrashDevice) -> None:
        flush(self)
        catch_up()

    read = CrashDevice.read_into

    def read_all(self: CrashDevice, offset: int, buffer: memoryview) -> None:
        catch_up()
        read(self, offset, buffer)

    patch.setattr(CrashDevice, "write", header_first)
    patch.setattr(CrashDevice, "flush", then_the_rest)
    patch.setattr(CrashDevice, "read_into", read_all)


def a_block_reused_before_what_supersedes_it_is_durable(patch: Patch) -> None:
    patch.setattr(DurableSpace, "release", DeviceSpace.release)


def tombstones_dropped_too_early(patch: Patch) -> None:
    def drop_all(store: DurableStore, entries: DurableEntries, page_size: int) -> int:
        found = [slot for slot in range(entries.table.slots) if entries.tombstone(slot)]
        for slot in found:
            entries.drop_tombstone(slot)
        return len(found)

    patch.setattr(checkpoint, "drop_tombstones", drop_all)


def a_sequence_reused_after_reopen(patch: Patch) -> None:
    reopened = DurableStore.reopened

    def same_epoch(self: DurableStore, sequence: int, epoch: int) -> None:
        reopened(self, sequence, epoch)
        self._epoch = self.superblock.first_epoch

    patch.setattr(DurableStore, "reopened", same_epoch)


def a_clean_copy_s_block_reused(patch: Patch) -> None:
    synced = DurableEntries.synced

    def forgets(self: DurableEntries, placed: Placed, start: int) -> None:
        synced(self, placed, start)
        place = self.place(placed, start)
        if self._clean[placed.victim.slot] == place:
            self.device_type.release(place)

    patch.setattr(DurableEntries, "synced", forgets)


def the_cleaner_s_copy_takes_a_new_sequence(patch: Patch) -> None:
    read = Mover.read

    def renumbered(self: Mover, block: int, *, unlocked: bool) -> list[Move]:
        moves = read(self, block, unlocked=unlocked)
        for move in moves:
            move.victim.sequence = self._store.next_sequence()
        return moves

    patch.setattr(Mover, "read", renumbered)


FAULTS = [
    a_device_whose_flush_lies,
    records_written_after_the_header,
    a_block_reused_before_what_supersedes_it_is_durable,
    tombstones_dropped_too_early,
    a_sequence_reused_after_reopen,
    a_clean_copy_s_block_reused,
    the_cleaner_s_copy_takes_a_new_sequence,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault: Callable[[Patch], None], monkeypatch: Patch) -> None:
    fault(monkeypatch)
    with pytest.raises((AssertionError, coldpress.ColdpressError, ValueError)):
        for seed in range(1000, 1000 + HISTORIES):
            crash(seed, POINTS)
