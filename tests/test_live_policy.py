"""Another policy for a running pipeline: it takes over every slot, in the order that was."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from live import Stored, opened

import coldpress
from coldpress import DeviceError, Pipeline

POLICIES = ("lru", "clock", "fifo", "sieve", "s3fifo")


def used(pipeline: Pipeline) -> Stored:
    """Pages and folios in the pool and on the device, of which some were loaded again."""
    stored = Stored(pipeline)
    stored.store(range(256))
    stored.store_folios(range(256, 320), 4)
    for slot in (*range(300, 320, 3), *range(200, 256, 5)):
        pipeline.load(slot)
    stored.store(range(257, 270, 4))  # the second pages of folios
    return stored


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(POLICIES, 2)))
def test_the_order_is_taken_over(old: str, new: str) -> None:
    with opened(policy={"use": old}) as pipeline:
        stored = used(pipeline)
        before = list(pipeline._entries.policy.order())
        assert len(before) > 20
        pipeline.reconfigure({"policy": {"use": new}})
        policy = pipeline._entries.policy
        assert policy is pipeline.config.policy
        assert policy is pipeline._writeback.ranks._policy
        assert policy.name == new
        assert list(policy.order()) == before
        stored.store(range(100, 400))
        stored.check()


def test_what_is_on_its_way_comes_back_to_the_new_policy() -> None:
    with opened(False) as pipeline:
        stored = Stored(pipeline)
        begun, go = threading.Event(), threading.Event()

        def fail(offset: int, data: coldpress.Buffer) -> None:
            begun.set()
            assert go.wait(60)
            raise DeviceError("the cable is out")

        write = pipeline.config.device.write
        pipeline.config.device.write = fail  # type: ignore[method-assign]
        slot = 0
        while not begun.wait(0.001):
            stored.store(range(slot, slot + 1), "noise")
            slot += 1
        pipeline.reconfigure({"policy": {"use": "sieve"}})
        with pipeline._gate.lock:
            staged = {victim.slot for victim in pipeline._entries.staged}
            assert staged
            assert staged.isdisjoint(pipeline._entries.policy.order())
        go.set()
        with pytest.raises(DeviceError):
            pipeline.sync()
        with pipeline._gate.lock:
            open_blocks = {victim.slot for victim in pipeline._entries.staged}
            order = list(pipeline._entries.policy.order())
        assert sorted({*order, *open_blocks}) == list(range(slot))
        pipeline.config.device.write = write  # type: ignore[method-assign]
        pipeline.sync()
        stored.store(range(200, 400))
        stored.check()


@pytest.mark.parametrize("old", POLICIES)
def test_without_objects_and_with_only_one(old: str) -> None:
    with opened(policy={"use": old}) as pipeline:
        pipeline.reconfigure({"policy": {"use": "lru"}})
        stored = Stored(pipeline)
        stored.store(range(1), "text")
        pipeline.reconfigure({"policy": {"use": old}})
        assert list(pipeline._entries.policy.order()) == [0]
        stored.check()


def leaves_one_out(pipeline: Pipeline) -> None:
    order = pipeline.config.policy.order
    pipeline.config.policy.order = lambda: itertools.islice(order(), 1, None)  # type: ignore


def names_them_newest_first(pipeline: Pipeline) -> None:
    order = pipeline.config.policy.order
    pipeline.config.policy.order = lambda: reversed(list(order()))  # type: ignore


@pytest.mark.parametrize("fault", [leaves_one_out, names_them_newest_first])
def test_a_slot_left_out_or_misplaced_would_be_seen(fault: Callable[[Pipeline], Any]) -> None:
    with opened() as pipeline:
        used(pipeline)
        before = list(pipeline._entries.policy.order())
        fault(pipeline)
        if fault is leaves_one_out:
            with pytest.raises(coldpress.PluginError, match=r"knows \d+ of the \d+ slots"):
                pipeline.reconfigure({"policy": {"use": "clock"}})
        else:
            pipeline.reconfigure({"policy": {"use": "clock"}})
            assert list(pipeline._entries.policy.order()) != before
