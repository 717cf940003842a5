"""Random histories against a dict, and proof that the machine sees a fault in every part."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from seen import assert_seen

import coldpress
from coldpress import Pipeline
from coldpress.roles import DeviceObject, Placed
from coldpress.testing.machine import PipelineMachine

EXAMPLES = int(os.environ.get("COLDPRESS_EXAMPLES", "60"))


class With(PipelineMachine):
    """The kit's machine with other parts, as a pipeline file names them."""

    parts: ClassVar[dict[str, Any]] = {}

    def tables(self) -> dict[str, Any]:
        parts = dict(self.parts)
        device = {"use": "file", "path": str(Path(self.scratch.name) / "cold.img")}
        parts["device"] = device | parts.get("device", {})
        return parts


class InBackground(With):
    synchronous = False


class Cramped(With):
    """A device that fills up: PoolFull may come, and nothing may be lost by it."""

    parts: ClassVar[dict[str, Any]] = {"device": {"size": "256KiB"}}
    may_fill = True


class WithClock(With):
    parts: ClassVar[dict[str, Any]] = {"policy": {"use": "clock"}}


class WithSieve(With):
    parts: ClassVar[dict[str, Any]] = {"policy": {"use": "sieve"}}


class WithS3Fifo(With):
    parts: ClassVar[dict[str, Any]] = {"policy": {"use": "s3fifo"}}
    synchronous = False


class WithZbudAndFifo(With):
    parts: ClassVar[dict[str, Any]] = {"allocator": {"use": "zbud"}, "policy": {"use": "fifo"}}


class WithZsmallocPacker(With):
    parts: ClassVar[dict[str, Any]] = {"packer": {"use": "zsmalloc", "block": "8KiB"}}


class WithAlignedPacker(With):
    parts: ClassVar[dict[str, Any]] = {"packer": {"use": "aligned"}}


class WithZspagePacker(With):
    parts: ClassVar[dict[str, Any]] = {"packer": {"use": "zspage", "block": "32KiB"}}


class WithPagePacker(With):
    parts: ClassVar[dict[str, Any]] = {"packer": {"use": "page", "block": "4KiB"}}


class WithCache(With):
    parts: ClassVar[dict[str, Any]] = {"cache": {"pages": 8}}


class WithCacheInBackground(With):
    parts: ClassVar[dict[str, Any]] = {"cache": {"pages": 8}, "policy": {"use": "sieve"}}
    synchronous = False


class CrampedWithCache(With):
    """The device is full, and a cache is in the way."""

    parts: ClassVar[dict[str, Any]] = {"device": {"size": "256KiB"}, "cache": {"pages": 8}}
    may_fill = True


class WithEncryption(With):
    parts: ClassVar[dict[str, Any]] = {"device": {"encrypt": "ephemeral"}, "cache": {"pages": 8}}


MACHINES = [
    With,
    Cramped,
    InBackground,
    WithClock,
    WithSieve,
    WithS3Fifo,
    WithZbudAndFifo,
    WithZsmallocPacker,
    WithAlignedPacker,
    WithPagePacker,
    WithZspagePacker,
    WithCache,
    WithCacheInBackground,
    CrampedWithCache,
    WithEncryption,
]


@pytest.mark.parametrize("machine", MACHINES)
def test_random_histories(machine: type[PipelineMachine]) -> None:
    # The two kinds of writeback get all of the examples, other parts in their place a fifth each.
    count = EXAMPLES if machine in (With, InBackground) else max(20, EXAMPLES // 5)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=count, stateful_step_count=25)
    )


def every(count: int) -> Callable[[], bool]:
    """True at every count-th call."""
    calls: Iterator[int] = iter(range(1, 10**9))
    return lambda: next(calls) % count == 0


def table_loses_a_word(pipeline: Pipeline) -> None:
    table, due = pipeline._entries.table, every(5)
    put = table.put
    table.put = lambda slot, word: None if due() else put(slot, word)  # type: ignore[method-assign]


def table_aliases_slots(pipeline: Pipeline) -> None:
    table = pipeline._entries.table
    get = table.get
    table.get = lambda slot: get(slot & ~1 if slot > 48 else slot)  # type: ignore[method-assign]


def allocator_overlaps_objects(pipeline: Pipeline) -> None:
    entry = next(one for one in pipeline.config.entry_types if one.name == "zswap")
    alloc, due, last = entry._alloc, every(7), [0]  # type: ignore[attr-defined]

    def overlap(data: bytes, owner: int) -> int:
        last[0] = last[0] if due() else alloc(data, owner)
        return last[0]

    entry._alloc = overlap  # type: ignore[attr-defined]


def allocator_flips_a_byte(pipeline: Pipeline) -> None:
    entry = next(one for one in pipeline.config.entry_types if one.name == "zswap")
    read, due = entry._read, every(9)  # type: ignore[attr-defined]

    def flip(handle: int, length: int) -> bytes:
        data = read(handle, length)
        return bytes([data[0] ^ 1]) + data[1:] if due() else data

    entry._read = flip  # type: ignore[attr-defined]


def policy_forgets_a_slot(pipeline: Pipeline) -> None:
    policy, due = pipeline.config.policy, every(6)
    evict = policy.evict
    policy.evict = lambda: evict() if not due() else (evict(), evict())[1]  # type: ignore[method-assign]


def policy_repeats_a_slot(pipeline: Pipeline) -> None:
    policy, due, last = pipeline.config.policy, every(6), [-1]
    evict = policy.evict

    def repeat() -> int:
        last[0] = last[0] if due() else evict()
        return last[0]

    policy.evict = repeat  # type: ignore[method-assign]


def spoil_sealed(pipeline: Pipeline, spoil: Callable[[list[Placed]], list[Placed]]) -> None:
    """Every second block that the packer seals says something else of its members."""
    packer, due = pipeline.config.packer, every(2)
    begin = packer.begin

    def begin_spoilt(buffer: memoryview, group: int) -> coldpress.OpenBlock:
        block = begin(buffer, group)
        seal = block.seal

        def seal_spoilt(*args: Any) -> coldpress.PackedBlock:
            packed = seal(*args)
            return attrs.evolve(packed, members=spoil(packed.members)) if due() else packed

        block.seal = seal_spoilt  # type: ignore[method-assign]
        return block

    packer.begin = begin_spoilt  # type: ignore[method-assign]


def packer_misplaces_an_object(pipeline: Pipeline) -> None:
    def swap(members: list[Placed]) -> list[Placed]:
        if len(members) < 2:
            return members
        first, second, *rest = members
        return [attrs.evolve(first, at=second.at), attrs.evolve(second, at=first.at), *rest]

    spoil_sealed(pipeline, swap)


def packer_drops_an_object(pipeline: Pipeline) -> None:
    spoil_sealed(pipeline, lambda members: members[:-1])


def device_loses_a_write(pipeline: Pipeline) -> None:
    device, due = pipeline.config.device, every(3)
    write = device.write
    device.write = lambda at, data: None if due() else write(at, data)  # type: ignore[method-assign]


def device_flips_a_bit(pipeline: Pipeline) -> None:
    device, due = pipeline.config.device, every(5)
    read = device.read_into

    def flip(offset: int, buffer: memoryview) -> None:
        read(offset, buffer)
        if due():
            buffer[len(buffer) // 2] ^= 16

    device.read_into = flip  # type: ignore[method-assign]


def device_tears_a_write(pipeline: Pipeline) -> None:
    device, due = pipeline.config.device, every(3)
    write = device.write

    def tear(at: int, data: coldpress.Buffer) -> None:
        write(at, data[: len(data) // 2] if due() else data)

    device.write = tear  # type: ignore[method-assign]


def policy_keeps_a_folio_s_old_name(pipeline: Pipeline) -> None:
    pipeline.config.policy.rename = lambda slot, new: None  # type: ignore[method-assign]


def a_folio_ends_with_its_first_page(pipeline: Pipeline) -> None:
    pipeline._entries.members = lambda slot, word: [slot]  # type: ignore[method-assign]


def a_folio_s_other_pages_are_forgotten(pipeline: Pipeline) -> None:
    entries = pipeline._entries
    publish = entries.publish_folio
    entries.publish_folio = (  # type: ignore[method-assign]
        lambda slot, tag, payload, pages: publish(slot, tag, payload, max(1, pages - 1))
    )


def a_chain_loses_its_last_piece(pipeline: Pipeline) -> None:
    entry = next(one for one in pipeline.config.entry_types if one.name == "zswap")
    chain = entry._objects  # type: ignore[attr-defined]
    copy = chain.copy_into

    def first_piece(handle: int, length: int, out: memoryview, at: int) -> None:
        copy(handle, length, out, at)
        out[at + chain._body : at + length] = bytes(max(0, length - chain._body))

    chain.copy_into = first_piece


def readahead_takes_older_copies(pipeline: Pipeline) -> None:
    entries = pipeline._entries

    def whatever(one: DeviceObject) -> int:
        word = entries.table.get(one.first_slot)
        return word if word & 15 == entries.device_tag else 0

    entries.on_device = whatever  # type: ignore[method-assign]


FAULTS = [
    table_loses_a_word,
    table_aliases_slots,
    allocator_overlaps_objects,
    allocator_flips_a_byte,
    policy_forgets_a_slot,
    policy_repeats_a_slot,
    packer_misplaces_an_object,
    packer_drops_an_object,
    device_loses_a_write,
    device_flips_a_bit,
    device_tears_a_write,
    policy_keeps_a_folio_s_old_name,
    a_folio_ends_with_its_first_page,
    a_folio_s_other_pages_are_forgotten,
    a_chain_loses_its_last_piece,
    readahead_takes_older_copies,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_machine_sees_a_planted_fault(fault: Callable[[Pipeline], None]) -> None:
    assert_seen(PipelineMachine, fault)
