"""Threads on a device that goes away and comes back, and proof that they would see a loss."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from device_sets import check_live
from once import on_one_python
from stress import shape

from coldpress import DeviceError, Pipeline, PoolFull
from coldpress.config import load_config
from coldpress.registry import Registry
from coldpress.testing import FlakyDevice, faults
from coldpress.testing.threads import Report, stress

SLOTS = 2000
REGISTRY = Registry.load().extended(faults, "coldpress", "0")
_PATIENCE = 30.0


class Stubborn:
    """A pipeline whose calls are made again for as long as the device is away; `refused`: those."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.refused: list[type[Exception]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._pipeline, name)

        def again(*given: Any) -> Any:
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    return call(*given)
                except (DeviceError, PoolFull) as error:
                    self.refused.append(type(error))
                    if time.monotonic() > deadline:
                        raise

        return again


class Cable:
    """A thread that pulls the device's cable now and then, and puts it back.

    `pulled`, how often; `faults`, what the device's calls met.
    """

    def __init__(self, device: FlakyDevice) -> None:
        self._device = device
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.pulled = 0
        self.faults = device.faults

    def __enter__(self) -> Cable:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng = random.Random(1)
        while not self._stop.wait(rng.uniform(0.02, 0.1)):
            self._device.away()
            self.pulled += 1
            self._stop.wait(rng.uniform(0.02, 0.3))
            self._device.back()


def run(
    seconds: float, *, seed: int = 1, fault: Callable[[Pipeline], None] = lambda pipeline: None
) -> tuple[Report, Stubborn, Cable]:
    tables = shape(SLOTS, device={"use": "flaky"}, writeback={"promote": "second"})
    with Pipeline(load_config(tables, registry=REGISTRY)) as pipeline:
        device = pipeline.config.device
        assert isinstance(device, FlakyDevice)
        stubborn = Stubborn(pipeline)
        fault(pipeline)
        with Cable(device) as cable:
            report = stress(cast("Pipeline", stubborn), SLOTS, seconds, seed=seed, folios=0.02)
        try:
            pipeline.sync()
            with pipeline._gate.lock:
                pipeline._backpressure.pause()
                check_live(pipeline)
                assert pipeline._store.space.bad < 5
        except Exception as error:
            report.errors.append(error)
    return report, stubborn, cable


@on_one_python
def test_nothing_is_wrong_or_lost_while_the_device_comes_and_goes() -> None:
    report, stubborn, cable = run(3.0)
    assert not report.errors, report.errors[0]
    assert not report.wrong, report.wrong[0]
    assert cable.pulled > 5
    assert DeviceError in stubborn.refused
    assert all(cable.faults[one, "eio"] for one in ("read", "write"))


def victims_of_a_failed_write_are_forgotten(pipeline: Pipeline) -> None:
    undo = pipeline._writeback.undo
    pipeline._writeback.undo = (  # type: ignore[method-assign]
        lambda block, *, restore: undo(block, restore=False)
    )


def a_failed_write_passes_for_a_good_one(pipeline: Pipeline) -> None:
    store = pipeline._store
    put = store.put

    def careless(block: int, packed: Any) -> None:
        try:
            put(block, packed)
        except DeviceError:
            return

    store.put = careless  # type: ignore[method-assign]


def a_failed_block_is_given_out_while_it_is_in_use(pipeline: Pipeline) -> None:
    space = pipeline._store.space.members[0].space
    abandon = space.abandon

    def twice(offset: int, *, blamed: bool) -> None:
        abandon(offset, blamed=blamed)
        if not blamed:
            space._failed.append(space._failed[-1])

    space.abandon = twice  # type: ignore[method-assign]


FAULTS = [
    victims_of_a_failed_write_are_forgotten,
    a_failed_write_passes_for_a_good_one,
    a_failed_block_is_given_out_while_it_is_in_use,
]


@on_one_python
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_threads_see_a_planted_fault(
    fault: Callable[[Pipeline], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_errors_stress._PATIENCE", 1.0)
    for seed in range(8):
        report, _, _ = run(0.7, seed=seed, fault=fault)
        if report.wrong or report.errors:
            return
    pytest.fail("no thread saw anything wrong")
