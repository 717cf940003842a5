"""The device that fails: it passes as a device while nothing does, and nothing is lost by it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from once import on_one_python

import coldpress
from coldpress import ConfigError, DeviceError, DeviceFull, Pipeline, PoolFull
from coldpress.config import load_config
from coldpress.registry import Registry
from coldpress.testing import DeviceTests, FlakyDevice, faults
from coldpress.testing.machine import SLOTS, PipelineMachine
from coldpress.testing.pages import same
from coldpress.testing.ranges import SIZE, noise, read
from coldpress.testing.shapes import described
from coldpress.testing.threads import stress
from coldpress.testing.whole import SMALL
from coldpress_plugins.devices.memory import MemoryDevice

REGISTRY = Registry.load().extended(faults, "coldpress", "0")

RATES = {
    "read_eio": 0.02,
    "read_short": 0.02,
    "write_eio": 0.05,
    "write_enospc": 0.02,
    "write_short": 0.05,
    "flush_eio": 0.1,
    "late": 0.02,
    "delay": 0.0005,
}


@on_one_python
class TestFlakyOverAFile(DeviceTests):
    plugin = FlakyDevice
    options: ClassVar[dict[str, Any]] = {"carrier": "file"}


@on_one_python
class TestFlakyOverDirectIo(DeviceTests):
    plugin = FlakyDevice
    options: ClassVar[dict[str, Any]] = {"carrier": "nvme"}
    examples = 10


def opened(**given: Any) -> FlakyDevice:
    device = FlakyDevice.over(MemoryDevice(size=SIZE), **given)
    device.open()
    return device


def test_a_planned_fault_comes_at_its_call_and_at_no_other() -> None:
    device = opened(planned=("write 2 eio", "read 3 eio", "flush 2 eio", "write 4 enospc"))
    device.write(0, noise(100, 1))
    with pytest.raises(DeviceError, match="flaky: write of 50 bytes at offset 200 failed: Input"):
        device.write(200, noise(50))
    device.write(100, noise(100, 2))
    with pytest.raises(DeviceFull, match="write of 9 bytes at offset 7 failed: No space left"):
        device.write(7, noise(9))
    device.flush()
    with pytest.raises(DeviceError, match="flaky: flush failed: Input/output error"):
        device.flush()
    device.flush()
    for _ in range(2):
        assert read(device, 0, 250) == noise(100, 1) + noise(100, 2) + bytes(50)
    with pytest.raises(DeviceError, match="read of 250 bytes at offset 0 failed: Input/output"):
        read(device, 0, 250)
    assert read(device, 200, 50) == bytes(50), "something of a write that failed has landed"
    assert device.faults == {
        ("write", "eio"): 1,
        ("write", "enospc"): 1,
        ("flush", "eio"): 1,
        ("read", "eio"): 1,
    }


def test_of_a_short_call_a_first_part_moves() -> None:
    lengths = set()
    for seed in range(20):
        device = opened(seed=seed)
        device.write(0, bytes(100))
        device.plan("write", "short", 2)
        device.write(200, b"whole")
        with pytest.raises(DeviceError, match="write of 100 bytes at offset 0 ended after"):
            device.write(0, b"x" * 100)
        found = read(device, 0, 100)
        landed = len(found.rstrip(b"\0"))
        assert found == b"x" * landed + bytes(100 - landed)
        lengths.add(landed)
        device.plan("read", "short")
        room = bytearray(b"?" * 100)
        with pytest.raises(DeviceError, match="read of 100 bytes at offset 0 ended after"):
            device.read_into(0, memoryview(room))
        got = len(room.rstrip(b"?"))
        assert room == found[:got] + b"?" * (100 - got)
    assert len(lengths) > 5
    assert max(lengths) < 100


def test_a_short_write_is_of_whole_sectors(tmp_path: Path) -> None:
    device = FlakyDevice(carrier="nvme", path=str(tmp_path / "cold"), size=SIZE)
    device.open()
    room = coldpress.flat_table("B", 4 * 4096)
    for _ in range(5):
        device.plan("write", "short")
        with pytest.raises(DeviceError, match=r"ended after (0|4096|8192|12288)$"):
            device.write(0, room)
    device.close()


def test_what_is_late_is_not_wrong() -> None:
    device = opened(late=1.0, delay=0.01)
    begun = time.monotonic()
    device.write(0, b"late")
    assert read(device, 0, 4) == b"late"
    device.flush()
    assert time.monotonic() - begun >= 0.03


def test_the_same_calls_meet_the_same_faults() -> None:
    def met(**given: Any) -> list[str]:
        device = opened(**given)
        found = []
        for n in range(300):
            try:
                device.write(n, b"data")
                device.read_into(n, memoryview(bytearray(4)))
                found.append("")
            except DeviceError as error:
                found.append(str(error))
        return found

    many = {"write_eio": 0.1, "write_short": 0.1, "read_eio": 0.1}
    assert met(seed=1, **many) == met(seed=1, **many)
    assert met(seed=1, **many) != met(seed=2, **many)
    assert 30 < sum("write" in one for one in met(**many)) < 90
    assert not any(met(seed=1))


def test_away_nothing_works_and_back_all_is_there() -> None:
    device = opened()
    device.write(0, noise(100))
    device.away()
    for call in (
        lambda: device.write(0, bytes(100)),
        lambda: device.read_into(0, memoryview(bytearray(100))),
        device.flush,
    ):
        with pytest.raises(DeviceError, match="failed: the device is away"):
            call()
    device.discard(0, SIZE)
    device.back()
    assert read(device, 0, 100) == noise(100)
    device.close()
    device.away()
    with pytest.raises(DeviceError, match="flaky: can not open: the device is away"):
        device.open()
    device.back()
    device.open()


def test_a_range_that_has_gone_bad_stays_so() -> None:
    device = opened()
    device.write(0, noise(300))
    device.go_bad(100, 10)
    for offset, length in ((0, 101), (100, 1), (109, 50), (0, 300)):
        with pytest.raises(DeviceError, match="Input/output error"):
            device.write(offset, bytes(length))
        with pytest.raises(DeviceError, match="Input/output error"):
            read(device, offset, length)
    assert read(device, 0, 100) + read(device, 110, 190) == noise(300)[:100] + noise(300)[110:]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"carrier": "fil"}, r"unknown device 'fil'; did you mean 'file'\?"),
        ({"read_eio": 1.5}, r"'read_eio' in \[device\] flaky: must be from 0 to 1, got 1.5"),
        ({"planned": ["flush 1 short"]}, """must be like "write 3 short", got 'flush 1 short'"""),
        ({"planned": ["write x eio"]}, "must be like"),
        ({"path": "x"}, r"unknown key 'path' in \[device\] memory"),
        ({"persistent": True}, "must be false, its contents end with the process"),
    ],
)
def test_a_pipeline_file_that_is_wrong_says_where(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        load_config({"device": {"use": "flaky", **given}}, registry=REGISTRY)


def test_a_pipeline_file_can_have_it_over_any_device(tmp_path: Path) -> None:
    device = {"use": "flaky", "carrier": "file", "path": str(tmp_path / "cold"), "size": "8MiB"}

    def pipeline() -> Pipeline:
        given = {"device": {**device, "persistent": True}}
        return Pipeline(load_config(given, registry=REGISTRY))

    with pipeline() as first:
        first.store(5, noise(4096))
    with pipeline() as second:
        assert same(second.load(5), noise(4096))


def retried(call: Callable[..., Any], *given: Any) -> Any:
    """What the call returns when at last the device lets it."""
    for _ in range(30):
        try:
            return call(*given)
        except (DeviceError, PoolFull):  # three writes that failed in a row refuse a store
            pass
    raise AssertionError(f"thirty times: {call} {given}")


def turn(device: Any, share: float) -> None:
    """Let the device fail as often as the RATES say, times `share`."""
    for name, rate in RATES.items():
        setattr(device, name, rate * share)


class FlakyMachine(PipelineMachine):
    """Calls may raise `DeviceError`; the page is where it was then, and a later call gives it."""

    may_fill = True
    registry = REGISTRY
    met: ClassVar[Counter[Any]] = Counter()

    @initialize(
        promote=st.sampled_from(["never", "first", "second"]),
        readahead=st.booleans(),
        seed=st.integers(0, 1 << 16),
    )
    def begin(self, promote: str, readahead: bool, seed: int = 0) -> None:
        self.seed = seed
        super().begin(promote, readahead)

    def tables(self) -> dict[str, Any]:
        return {"device": {"use": "flaky", "seed": self.seed}}

    def sabotage(self, pipeline: Pipeline) -> None:
        assert isinstance(pipeline.config.device, FlakyDevice)
        self.device = pipeline.config.device
        turn(self.device, 3)

    def read(self, slot: int) -> bytes | None:
        found: bytes | None = retried(super().read, slot)
        return found

    @rule(slot=st.integers(0, SLOTS - 20), count=st.integers(1, 20))
    def load_many(self, slot: int, count: int) -> None:
        retried(super().load_many, slot, count)

    def teardown(self) -> None:
        if hasattr(self, "device"):
            turn(self.device, 0)
            self.met.update(self.device.faults)
        super().teardown()


class FlakyInBackground(FlakyMachine):
    synchronous = False
    met: ClassVar[Counter[Any]] = Counter()


@pytest.mark.parametrize("machine", [FlakyMachine, FlakyInBackground])
def test_histories_on_a_flaky_device_lose_nothing(machine: type[FlakyMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=20, stateful_step_count=30, deadline=None, database=None),
    )
    assert {operation for operation, _ in machine.met} >= {"read", "write"}
    assert machine.met.total() > 40


class Patient:
    """A pipeline whose calls are made again when the device has failed."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.store = partial(retried, pipeline.store)
        self.load = partial(retried, pipeline.load)
        self.invalidate = partial(retried, pipeline.invalidate)


def test_threads_on_a_flaky_device_lose_nothing() -> None:
    shape = described(SMALL, device={"use": "flaky"})
    with Pipeline(load_config(shape, registry=REGISTRY)) as pipeline:
        device = pipeline.config.device
        assert isinstance(device, FlakyDevice)
        turn(device, 1)
        report = stress(cast("Pipeline", Patient(pipeline)), 2048, 2.0, folios=0.02)
        turn(device, 0)
        assert pipeline.stats().pool_bytes_peak <= pipeline.stats().pool_limit
    assert not report.errors, report.errors[0]
    assert not report.wrong, report.wrong[0]
    assert all(device.faults[one] for one in (("read", "eio"), ("write", "eio")))
