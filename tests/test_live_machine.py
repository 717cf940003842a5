"""Random histories in which parts of the pipeline are changed between any two operations."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from seen import assert_seen

import coldpress
from coldpress import Pipeline
from coldpress.testing.machine import SLOTS, PipelineMachine

EXAMPLES = max(20, int(os.environ.get("COLDPRESS_EXAMPLES", "60")) // 5)

TABLES: dict[str, list[dict[str, Any]]] = {
    "compressor": [{"use": "lz4"}, {"use": "zstd"}, {"use": "brotli", "quality": 1}],
    "allocator": [
        {"use": "zsmalloc", "chain": 4},
        {"use": "zsmalloc", "chain": 1},
        {"use": "zbud"},
    ],
    "policy": [{"use": use} for use in ("lru", "clock", "fifo", "sieve", "s3fifo")],
    "packer": [{"use": use} for use in ("bounce", "zsmalloc", "zspage", "aligned")],
}


class LiveMachine(PipelineMachine):
    """The kit's machine, and changes of one part or of several."""

    over: ClassVar[dict[str, Any]] = {}
    changeable: ClassVar[frozenset[str]] = frozenset(TABLES)

    def tables(self) -> dict[str, Any]:
        return self.over

    @rule(
        changes=st.fixed_dictionaries(
            {}, optional={role: st.sampled_from(tables) for role, tables in TABLES.items()}
        )
    )
    def reconfigure(self, changes: dict[str, Any]) -> None:
        changes = {role: table for role, table in changes.items() if role in self.changeable}
        try:
            self.pipeline.reconfigure(changes)
        except coldpress.ConfigError as error:
            assert "no tag is left" in str(error)
            assert self.pipeline._pools.retired == 9
            return
        for role, table in changes.items():
            assert self.pipeline.config.names[role] == table["use"]

    @rule()
    def rewrite_everything(self) -> None:
        if self.may_fill:
            return  # a store that is refused rewrites nothing
        for slot in list(self.model):
            self.put(slot, "text")
        self.pipeline.sync()  # what the cache holds has no compressor yet
        stats = self.pipeline.stats()
        assert (stats.retired_codec_pages, stats.retired_pool_pages) == (0, 0)
        assert self.pipeline._pools.retired == 0

    def in_step(self) -> None:
        super().in_step()
        entries, pools = self.pipeline._entries, self.pipeline._pools
        for pool in (pools.current, *pools._retired):
            for tag, one in pool.types.items():
                assert entries.types[tag] is entries.pool_types[tag] is one
                assert (tag in entries.present) == (pool is pools.current)
        if self.synchronous:  # else some are in blocks that are being written
            begun = self.pipeline._writeback.staging._open.values()
            assert {id(one) for one in entries.staged if one.word & 15 != entries.cache_tag} <= {
                id(victim) for block in begun for victim in block.victims
            }
        known = sum(len(pool.types) for pool in (pools.current, *pools._retired))
        assert known + 5 == sum(one is not None for one in entries.types)
        if entries.origins is None:
            return
        for slot in range(SLOTS):
            word = entries.table.get(slot)
            one = entries.pool_types[word & 15]
            codec = entries.origins._codecs[slot]
            if one is not None:
                assert (codec or 255) == (one.describe(word >> 5)[0] or 255)
            elif word & 15 != entries.device_tag or not entries.origins.on_device:
                assert codec in (0, 255)


class InBackground(LiveMachine):
    synchronous = False


class WithCache(LiveMachine):
    over: ClassVar[dict[str, Any]] = {"cache": {"pages": 8}}


class WithCacheInBackground(InBackground):
    over: ClassVar[dict[str, Any]] = {"cache": {"pages": 8}}


class Cramped(LiveMachine):
    """A device that fills up: PoolFull may come, and nothing may be lost by it."""

    may_fill = True
    over: ClassVar[dict[str, Any]] = {"device": {"size": "256KiB"}}


class WithPagePacker(LiveMachine):
    changeable = frozenset(TABLES) - {"packer"}
    over: ClassVar[dict[str, Any]] = {"packer": {"use": "page", "block": "4KiB"}}


class WithZspagePacker(LiveMachine):
    over: ClassVar[dict[str, Any]] = {"packer": {"use": "zspage", "block": "32KiB"}}


MACHINES = [
    LiveMachine,
    InBackground,
    WithCache,
    WithCacheInBackground,
    Cramped,
    WithPagePacker,
    WithZspagePacker,
]


@pytest.mark.parametrize("machine", MACHINES)
def test_random_histories_with_changes(machine: type[LiveMachine]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=25)
    )


def the_new_codec_id_is_put_on_old_bytes(pipeline: Pipeline) -> None:
    entry: Any = next(one for one in pipeline.config.entry_types if one.name == "zswap")
    describe = entry.describe
    entry.describe = lambda payload: (pipeline._codecs.current[0], *describe(payload)[1:])


def the_new_policy_misses_a_slot(pipeline: Pipeline) -> None:
    follow = pipeline._entries.follow

    def without_one(policy: coldpress.Policy) -> None:
        follow(policy)
        policy.evict()

    pipeline._entries.follow = without_one  # type: ignore[method-assign]


def the_old_policy_stays_in_use(pipeline: Pipeline) -> None:
    entries = pipeline._entries
    before = list(entries.orders)
    follow = entries.follow

    def half(policy: coldpress.Policy) -> None:
        follow(policy)
        entries.orders[:] = before

    entries.follow = half  # type: ignore[method-assign]


def the_old_allocator_is_closed_too_early(pipeline: Pipeline) -> None:
    pools = pipeline._pools
    replace = pools.replace

    def at_once(new: Any) -> None:
        old = pools.current
        replace(new)
        old.allocator.close()

    pools.replace = at_once  # type: ignore[method-assign]


def a_tag_is_free_too_early(pipeline: Pipeline) -> None:
    pools, entries = pipeline._pools, pipeline._entries
    replace = pools.replace

    def at_once(new: Any) -> None:
        old = pools.current
        replace(new)
        entries.leave(old.types)

    pools.replace = at_once  # type: ignore[method-assign]


FAULTS = [
    the_old_allocator_is_closed_too_early,
    a_tag_is_free_too_early,
    the_new_codec_id_is_put_on_old_bytes,
    the_new_policy_misses_a_slot,
    the_old_policy_stays_in_use,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_machine_sees_a_planted_fault(fault: Callable[[Pipeline], None]) -> None:
    assert_seen(LiveMachine, fault)
