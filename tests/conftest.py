"""Fixtures that the tests share: which plugins to combine, and pipelines made of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import coldpress
from coldpress.config import load_config

AXES = {
    "compressor": ("lz4", "zstd", "brotli", "none"),
    "allocator": ("zsmalloc", "zbud"),
    "device": ("memory", "file", "nvme"),
}
# Every value, and the pairs that share code, without the whole product.
SMOKE = (
    ("lz4", "zsmalloc", "memory"),
    ("zstd", "zsmalloc", "nvme"),
    ("brotli", "zbud", "file"),
    ("none", "zbud", "nvme"),
    ("none", "zsmalloc", "file"),
)

# Started in the background by a shell, as `nohup` and some runners do it, Ctrl-C is ignored, and by
# all that is started from here: the tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "coldpress", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("coldpress")


def combinations() -> list[tuple[str, str, str]]:
    """What COLDPRESS_TEST_COMPRESSOR, _ALLOCATOR and _DEVICE (a name each) narrow it down to.

    With none of them: all of them if COLDPRESS_TEST_MATRIX is `full`, else a smoke set.
    """
    asked = {axis: os.environ.get(f"COLDPRESS_TEST_{axis.upper()}") for axis in AXES}
    if not any(asked.values()) and os.environ.get("COLDPRESS_TEST_MATRIX") != "full":
        return list(SMOKE)
    for axis, name in asked.items():
        if name and name not in AXES[axis]:
            raise pytest.UsageError(f"no {axis} {name!r}; there are {', '.join(AXES[axis])}")
    chosen = [(name,) if (name := asked[axis]) else AXES[axis] for axis in AXES]
    return [(c, a, d) for c, a, d in product(*chosen)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "combination" in metafunc.fixturenames:
        metafunc.parametrize("combination", combinations(), ids="-".join)


def require(available: bool, why: str) -> None:
    """Skip without something; in CI, where everything must run, fail."""
    if available:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {why}")
    pytest.skip(why)


@pytest.fixture
def describe(combination: tuple[str, str, str], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes the mapping that describes a small pipeline of this combination."""
    compressor, allocator, device = combination

    def make(
        limit: str = "512KiB", size: str = "8MiB", slots: int = 4096, **tables: Any
    ) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "slots": slots,
            "compressor": {"use": compressor},
            "allocator": {"use": allocator, "limit": limit},
            "device": {"use": device, "size": size},
        }
        if device != "memory":
            shape["device"]["path"] = str(tmp_path / "cold.img")
        for name, table in tables.items():
            shape[name] = {**shape.get(name, {}), **table}
        return shape

    return make


@pytest.fixture(params=["inline", "background"])
def start(
    request: pytest.FixtureRequest, describe: Callable[..., dict[str, Any]]
) -> Callable[..., coldpress.Pipeline]:
    """Opens a small pipeline of this combination, with either kind of writeback."""

    def opened(**shape: Any) -> coldpress.Pipeline:
        config = load_config(describe(**shape))
        return coldpress.Pipeline(config, synchronous=request.param == "inline")

    return opened


@pytest.fixture
def pipeline(start: Callable[..., coldpress.Pipeline]) -> Iterator[coldpress.Pipeline]:
    """A small pipeline of this combination."""
    with start() as opened:
        yield opened
