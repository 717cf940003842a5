"""Devices that say nothing of what is wrong with them: on one bits turn, one does not flush."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
from once import on_one_python

from coldpress import CorruptBlock, DeviceError, Pipeline
from coldpress.config import load_config
from coldpress.registry import Registry
from coldpress.testing import BitrotDevice, CrashDevice, DeviceTests, LyingDevice, Medium, faults
from coldpress.testing.pages import KINDS, page, same
from coldpress.testing.ranges import SIZE, agree, noise, read
from coldpress_plugins.devices.memory import MemoryDevice


@on_one_python
class TestBitrotOverAFile(DeviceTests):
    plugin = BitrotDevice
    options: ClassVar[dict[str, Any]] = {"carrier": "file"}
    examples = 10


@on_one_python
class TestLyingOverAFile(DeviceTests):
    plugin = LyingDevice
    options: ClassVar[dict[str, Any]] = {"carrier": "file"}
    examples = 10


@pytest.mark.parametrize("carrier", ["file", "nvme"])
def test_a_bit_that_is_turned_stays_so_and_no_other_has_changed(
    carrier: str, tmp_path: Path
) -> None:
    device = BitrotDevice(carrier=carrier, path=str(tmp_path / "cold"), size=SIZE)
    device.open()
    want = bytearray(SIZE)
    for at, bit in ((0, 0), (4095, 7), (5000, 3), (SIZE - 1, 1), (5000, 4)):
        device.rot(at, bit)
        want[at] ^= 1 << bit
        for _ in range(2):
            agree(read(device, 0, SIZE), want)
    assert same((tmp_path / "cold").read_bytes(), want)
    device.rot(0, 0)
    assert read(device, 0, 4096)[0] == 0
    device.close()


def test_bytes_rot_as_often_as_was_asked_and_for_good() -> None:
    device = BitrotDevice.over(MemoryDevice(size=SIZE), rate=1e-4)
    device.open()
    device.write(0, noise(SIZE))
    first = read(device, 0, SIZE)
    turned = sum((a ^ b).bit_count() for a, b in zip(first, noise(SIZE), strict=True))
    assert 80 < turned <= device.rotten < 130  # of 2**20 bytes; one may turn twice
    device.rate = 0
    agree(read(device, 0, SIZE), first)


@pytest.mark.parametrize("packer", ["bounce", "zsmalloc", "zspage", "aligned", "page"])
def test_a_page_that_has_rotted_is_told_of_and_never_read(packer: str) -> None:
    shape: dict[str, Any] = {
        "slots": 512,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": "128KiB"},
        "packer": {"use": packer, "block": "4KiB" if packer == "page" else "16KiB"},
        "device": {"use": "bitrot", "size": "4MiB"},
    }
    registry = Registry.load().extended(faults, "coldpress", "0")
    rng = random.Random(packer)
    with Pipeline(load_config(shape, registry=registry)) as pipeline:
        device = pipeline.config.device
        assert isinstance(device, BitrotDevice)
        model = {slot: page(rng.choice(KINDS), slot, 1) for slot in range(512)}
        for slot, data in model.items():
            pipeline.store(slot, data)
        device.rate = 2e-5
        told = 0
        for slot in rng.choices(range(512), k=2000):
            try:
                assert same(pipeline.load(slot), model[slot])
            except CorruptBlock as error:
                assert error.slot == slot
                told += 1
                model[slot] = page("mixed", slot, told)
                pipeline.store(slot, model[slot])
        assert 5 < told < 1000


def test_a_lying_device_loses_what_was_flushed_and_no_other_does() -> None:
    left = set()
    for lies in (True, False):
        for seed in range(20):
            medium = Medium(bytes(SIZE))
            device = CrashDevice.over(medium)
            top = LyingDevice.over(device) if lies else device
            top.open()
            top.write(100, b"kept?")
            top.flush()
            image = medium.after_crash(medium.events, "power", random.Random(seed))
            left.add((lies, bytes(image[100:105])))
            top.close()
            with pytest.raises(DeviceError, match="device is closed"):
                top.flush()
    assert left == {(True, b"kept?"), (True, bytes(5)), (False, b"kept?")}
