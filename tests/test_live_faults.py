"""A change that fails: the pipeline is as it was, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import pytest
from fake_plugins import concrete
from live import Stored, come_to_rest, everything, opened, with_plugins

import coldpress
from coldpress import ConfigError, PipelineClosed, PluginError, PoolBudget, live
from coldpress_plugins.allocators.zbud import Zbud
from coldpress_plugins.allocators.zbudpool import ZbudPool
from coldpress_plugins.policies.lru import Lru

NOT_LIVE = "can not be changed on a running pipeline"


class ItFailed(Exception):
    """What the plugins of this module raise."""


BadDictionary = concrete(coldpress.Compressor, "bad-dictionary")
BadDictionary.open = lambda self: (_ for _ in ()).throw(PluginError("no such dictionary"))
NotOpen = concrete(coldpress.Packer, "not-open")
NotOpen.fits = lambda self, length, page_size: True
NotOpen.open = lambda self, page_size: (_ for _ in ()).throw(PluginError("can not be opened"))
NoMemory = concrete(coldpress.Policy, "no-memory")
NoMemory.open = lambda self, slots: (_ for _ in ()).throw(MemoryError("no address space"))


@attrs.define(slots=False, eq=False, kw_only=True)
class Breaks(Lru):
    """Takes a slot and then no more: beside busy threads a pool may hold but few objects."""

    name = "breaks"

    def insert(self, slot: int, warm: bool = False) -> None:
        super().insert(slot, warm)
        if len(self) == 2:
            raise ItFailed("an insert")


@attrs.define(slots=False, eq=False, kw_only=True)
class Forgets(Lru):
    """Does not take every slot."""

    name = "forgets"

    def open(self, slots: int) -> None:
        super().open(slots)
        self._offered = 0

    def insert(self, slot: int, warm: bool = False) -> None:
        self._offered += 1
        if self._offered != 2:
            super().insert(slot, warm)


@attrs.define(slots=False, eq=False, kw_only=True)
class NoSpace(Zbud):
    """Finds no address space."""

    name = "no-space"

    def make_pool(self, budget: PoolBudget, page_size: int) -> ZbudPool:
        raise MemoryError("no address space")


@attrs.define(slots=False, eq=False, kw_only=True)
class Wrong(Zbud):
    """Can not be asked how large its objects may be."""

    name = "wrong"

    @property
    def max_size(self) -> int:
        raise ItFailed("a size")


@attrs.define(slots=False, eq=False, kw_only=True)
class Counted(Zbud):
    """Counts how often it is opened and closed."""

    name = "counted"
    opens: ClassVar[int] = 0
    closes: ClassVar[int] = 0

    def open(self, budget: PoolBudget, page_size: int) -> None:
        super().open(budget, page_size)
        Counted.opens += 1

    def close(self) -> None:
        super().close()
        Counted.closes += 1


REGISTRY = with_plugins(
    compressor=[BadDictionary],
    allocator=[NoSpace, Wrong, Counted],
    policy=[NoMemory, Breaks, Forgets],
    packer=[NotOpen],
)


@pytest.fixture(params=[True, False], ids=["inline", "background"])
def stored(request: pytest.FixtureRequest) -> Iterator[Stored]:
    """A pipeline that was used, at rest."""
    with opened(request.param, REGISTRY) as pipeline:
        found = Stored(pipeline)
        found.store(range(300))
        found.store_folios(range(320, 480))
        come_to_rest(pipeline)
        while len(pipeline.config.policy) < 8:  # busy writers may have left less
            found.store(range(8))
            come_to_rest(pipeline)
        yield found


WORKING = {
    "compressor": "brotli",
    "allocator": "zbud",
    "policy": "s3fifo",
    "packer": "zsmalloc",
}
FAILING: list[tuple[dict[str, Any], type[BaseException], str]] = [
    ({"compressor": {"use": "bad-dictionary"}}, PluginError, "no such dictionary"),
    ({"policy": {"use": "no-memory"}}, MemoryError, "no address space"),
    ({"policy": {"use": "breaks"}}, ItFailed, "an insert"),
    ({"policy": {"use": "forgets"}}, PluginError, "'forgets' knows .* of the .* slots"),
    ({"compressor": {"use": "zstd"}, "policy": {"use": "breaks"}}, ItFailed, "an insert"),
    ({"compressor": {"use": "zstd"}, "policy": {"use": "no-memory"}}, MemoryError, "no address"),
    ({"compressor": {"use": "bad-dictionary"}, "policy": {"use": "clock"}}, PluginError, "no such"),
    ({"packer": {"use": "not-open"}}, PluginError, "can not be opened"),
    ({"packer": {"use": "zsmalloc"}, "policy": {"use": "breaks"}}, ItFailed, "an insert"),
    ({"packer": {"use": "page"}}, ConfigError, "can not come into a running pipeline, nor go"),
    ({"packer": {"use": "aligned", "block": "64KiB"}}, ConfigError, "can not be changed .*16KiB"),
    ({"allocator": {"use": "no-space"}}, ConfigError, "^allocator.limit: no address space"),
    ({"allocator": {"use": "wrong"}}, ItFailed, "a size"),  # while an entry type is opened
    ({"allocator": {"use": "zbud"}, "policy": {"use": "breaks"}}, ItFailed, "an insert"),
    ({"allocator": {"use": "wrong"}, "policy": {"use": "clock"}}, ItFailed, "a size"),
    ({"allocator": {"use": "zbud", "limit": "1MiB"}}, ConfigError, "can not be changed .*256KiB"),
    (
        {"allocator": {"use": "zsmalloc", "chain": 16}, "policy": {"use": "clock", "hand": 3}},
        ConfigError,
        "'hand' in .policy. clock",
    ),
    ({"compressor": {"use": "zstd", "level": 99}}, ConfigError, "'level' in .compressor. zstd"),
]


@pytest.mark.parametrize(("changes", "error", "match"), FAILING)
def test_a_failed_change_leaves_everything_as_it_was(
    stored: Stored, changes: dict[str, Any], error: type[BaseException], match: str
) -> None:
    pipeline = stored.pipeline
    before = everything(pipeline)
    for _ in range(2):
        with pytest.raises(error, match=match):
            pipeline.reconfigure(changes)
        assert everything(pipeline) == before
    stored.check()
    pipeline.reconfigure({role: {"use": use} for role, use in WORKING.items()})
    stored.store(range(100, 500))
    stored.check()


@pytest.mark.parametrize("role", list(WORKING))
def test_a_switch_that_came_to_its_end_is_undone_with_the_others(
    stored: Stored, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, part = stored.pipeline, live._CHANGES[role]
    switch = part.switch  # type: ignore[attr-defined]

    def then_fail(*args: Any) -> None:
        switch(*args)
        raise ItFailed("the next part")

    monkeypatch.setattr(part, "switch", then_fail)
    before = everything(pipeline)
    for changes in (WORKING, {role: WORKING[role]}):
        with pytest.raises(ItFailed, match="the next part"):
            pipeline.reconfigure({role: {"use": use} for role, use in changes.items()})
        assert everything(pipeline) == before
    stored.store(range(100, 200))
    stored.check()


def test_what_was_opened_for_a_failed_change_is_closed(stored: Stored) -> None:
    opens, closes = Counted.opens, Counted.closes
    with pytest.raises(ItFailed):
        stored.pipeline.reconfigure({"allocator": {"use": "counted"}, "policy": {"use": "breaks"}})
    assert (Counted.opens, Counted.closes) == (opens + 1, closes + 1)
    stored.check()


def test_a_failed_change_after_others_leaves_those(stored: Stored) -> None:
    pipeline = stored.pipeline
    pipeline.reconfigure({"compressor": {"use": "zstd"}, "policy": {"use": "sieve"}})
    stored.store(range(50), "text")
    come_to_rest(pipeline)
    before, counted = everything(pipeline), pipeline.stats().retired_codec_pages
    with pytest.raises(ItFailed):
        pipeline.reconfigure({"compressor": {"use": "brotli"}, "policy": {"use": "breaks"}})
    assert everything(pipeline) == before
    assert pipeline.stats().retired_codec_pages == counted > 0
    stored.check()


def test_all_that_is_wrong_is_told_at_once(stored: Stored) -> None:
    changes = {
        "compresor": {"use": "zstd"},
        "compressor": {"use": "zstd", "levle": 3},
        "policy": {"use": "nope"},
        "device": {"use": "memory"},
        "slots": 5,
    }
    before = everything(stored.pipeline)
    with pytest.raises(ConfigError) as caught:
        stored.pipeline.reconfigure(changes)
    assert [str(one) for one in caught.value.problems] == [
        "compresor: unknown table 'compresor'; did you mean 'compressor'?",
        "compressor.levle: unknown key 'levle' in [compressor] zstd; did you mean 'level'?",
        "policy.use: unknown policy 'nope'; installed: breaks, clock, fifo, forgets, lru, "
        "no-memory, s3fifo, sieve",
        f"device: 'device' {NOT_LIVE}; add_device and drain_device give it another",
        f"slots: 'slots' {NOT_LIVE}; compressor, allocator, policy and packer can",
    ]
    assert everything(stored.pipeline) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("zstd.toml", "expected a mapping of tables to change, got 'zstd.toml'"),
        ({"policy": "lru"}, "policy: 'policy': expected a table [policy], got 'lru'"),
        ({3: {}}, "3: unknown table '3'; known: compressor, allocator, policy, packer"),
    ],
)
def test_what_is_no_table(stored: Stored, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stored.pipeline.reconfigure(changes)
    assert str(caught.value) == message


def test_nothing_to_change(stored: Stored) -> None:
    before = everything(stored.pipeline)
    stored.pipeline.reconfigure({})
    assert everything(stored.pipeline) == before


@pytest.mark.parametrize("changes", [{"policy": {"use": "fifo"}}, {"compressor": {"use": "zstd"}}])
def test_a_closed_pipeline_is_not_changed(changes: dict[str, Any]) -> None:
    pipeline = opened()
    pipeline.close()
    with pytest.raises(PipelineClosed, match="the pipeline is closed"):
        pipeline.reconfigure(changes)
