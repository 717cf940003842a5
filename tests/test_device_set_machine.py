"""Random histories in which devices come and go, against a dict."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
from device_sets import check_live
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from coldpress import ConfigError, DeviceFull, PoolFull
from coldpress.testing.machine import PipelineMachine

EXAMPLES = max(60, int(os.environ.get("COLDPRESS_EXAMPLES", "60")) // 2)
sizes = st.sampled_from(["136KiB", "256KiB", "1MiB"])
kinds = st.sampled_from(["memory", "file", "nvme"])


class WithDevices(PipelineMachine):
    """The first device alone is too small for everything, so is many a later one."""

    parts: ClassVar[dict[str, Any]] = {}
    may_fill = True
    most: ClassVar[int] = 4
    images = 0

    def tables(self) -> dict[str, Any]:
        return {"device": {"use": "memory", "size": "256KiB"}, **self.parts}

    @rule(use=kinds, size=sizes)
    def add_device(self, use: str, size: str) -> None:
        there = self.pipeline.devices()
        if len(there) >= self.most:
            return
        table = {"use": use, "size": size, "encrypt": self.pipeline.config.device.encrypt}
        if use != "memory":
            self.images += 1
            table["path"] = str(Path(self.scratch.name) / f"{self.images}.img")
        number = self.pipeline.add_device(table)
        assert number > max(one.number for one in there)

    @rule()
    def sync(self) -> None:
        try:
            super().sync()
        except PoolFull:  # the swap cache has more than the pool has room for
            assert self.may_fill

    @rule(which=st.integers(0, 3))
    def drain_device(self, which: int) -> None:
        there = self.pipeline.devices()
        one = there[which % len(there)]
        try:
            self.pipeline.drain_device(one.number)
        except ConfigError:
            assert len(there) == 1
        except DeviceFull:
            assert one.live_bytes or not self.synchronous
            assert [each.state for each in self.pipeline.devices()] == ["open"] * len(there)
        else:
            assert [each.number for each in self.pipeline.devices()] == [
                each.number for each in there if each is not one
            ]

    def in_step(self) -> None:
        super().in_step()
        if self.synchronous:
            check_live(self.pipeline)


class InBackground(WithDevices):
    synchronous = False


class WithPages(WithDevices):
    parts: ClassVar[dict[str, Any]] = {"packer": {"use": "page", "block": "4KiB"}}


class WithZspages(WithDevices):
    parts: ClassVar[dict[str, Any]] = {
        "packer": {"use": "zspage", "block": "32KiB"},
        "device": {"use": "memory", "size": "1MiB"},
    }


class WithCacheInBackground(InBackground):
    parts: ClassVar[dict[str, Any]] = {"cache": {"pages": 8}}


class Encrypted(WithDevices):
    parts: ClassVar[dict[str, Any]] = {
        "device": {"use": "memory", "size": "256KiB", "encrypt": "ephemeral"}
    }


MACHINES = [
    WithDevices,
    InBackground,
    WithPages,
    WithZspages,
    WithCacheInBackground,
    Encrypted,
]


@pytest.mark.parametrize("machine", MACHINES)
def test_random_histories_of_devices(machine: type[WithDevices]) -> None:
    count = max(15, EXAMPLES // 3)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=count, stateful_step_count=25)
    )
