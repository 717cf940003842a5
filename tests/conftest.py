"""Fixtures that the tests share: which plugins to combine, and pipelines made of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import crafted
import encrypted
import images
import pytest
from hypothesis import HealthCheck, settings
from keys import key_file

import coldpress
from coldpress.config import load_config
from coldpress.config.report import assigned
from coldpress.registry import default_registry
from coldpress.testing.axes import ROLES, Axes
from coldpress.testing.covering import Row, covering
from coldpress.testing.shapes import described

BUILT_IN = {
    "compressor": ("lz4", "zstd", "brotli", "none"),
    "allocator": ("zsmalloc", "zbud"),
    "policy": ("lru", "clock", "fifo", "sieve", "s3fifo"),
    "packer": ("bounce", "zsmalloc", "zspage", "aligned", "page"),
    "device": ("memory", "file", "nvme"),
    "entry_type": ("filled",),
}
# The three of which all pairs are tried; the others go along, each of theirs in some row. All pairs
# of all roles are what `coldpress matrix` tries.
PAIRED = ("compressor", "allocator", "device")

# Started in the background by a shell, as `nohup` and some runners do it, Ctrl-C is ignored, and by
# all that is started from here: the tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "coldpress", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("coldpress")


def chosen_axes() -> Axes:
    """What COLDPRESS_TEST_COMPRESSOR, _ALLOCATOR and so on (a name each) narrow the roles down to.

    COLDPRESS_TEST_SET gives options, "device.url=memory://x", with spaces between them.
    """
    asked = {role: os.environ.get(f"COLDPRESS_TEST_{role.upper()}") for role in ROLES}
    try:
        options = assigned(os.environ.get("COLDPRESS_TEST_SET", "").split())
        return Axes.of(
            default_registry(),
            {role: (name,) if (name := asked[role]) else BUILT_IN[role] for role in ROLES},
            options,
        )
    except (coldpress.ConfigError, coldpress.PluginError) as error:
        raise pytest.UsageError(str(error)) from error


def combinations(axes: Axes) -> list[Row]:
    """Every plugin in some row; if COLDPRESS_TEST_MATRIX is `full`, all pairs of those PAIRED."""
    values = {role: list(plugins) for role, plugins in axes.values.items()}
    longest = max(map(len, values.values()))
    if os.environ.get("COLDPRESS_TEST_MATRIX") == "full":
        paired = covering([values[role] for role in PAIRED]).rows
    else:
        paired = list(zip(*(cycle(values[role], longest) for role in PAIRED), strict=True))
    count = max(longest, len(paired))
    columns = {role: cycle(values[role], count) for role in ROLES}
    # Not in step with the policies, or each would meet one packer only.
    columns["packer"] = [
        values["packer"][(n + n // longest) % len(values["packer"])] for n in range(count)
    ]
    columns |= {role: cycle([row[n] for row in paired], count) for n, role in enumerate(PAIRED)}
    return list(zip(*(columns[role] for role in ROLES), strict=True))


def cycle(values: list[str], count: int) -> list[str]:
    """The values over and over, until there are so many."""
    return [values[n % len(values)] for n in range(count)]


AXES = chosen_axes()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "combination" in metafunc.fixturenames:
        metafunc.parametrize("combination", combinations(AXES), ids="-".join)


def require(available: bool, why: str) -> None:
    """Skip without something; in CI, where everything must run, fail."""
    if available:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {why}")
    pytest.skip(why)


@pytest.fixture
def describe(combination: Row, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes the mapping that describes a small pipeline of this combination."""

    def make(
        limit: str = "512KiB", size: str = "8MiB", slots: int = 4096, **tables: Any
    ) -> dict[str, Any]:
        small = {"slots": slots, "allocator": {"limit": limit}, "device": {"size": size}}
        return described(described(small, **AXES.tables(combination, tmp_path)), **tables)

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of a device may be."""
    return tmp_path / "cold.img"


@pytest.fixture
def model(path: Path) -> images.Model:
    """What an image at `path` has: stored twice, so that an older version of each page is there."""
    images.filled(path, 1)
    return images.filled(path, 2)


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The path of a key file."""
    return key_file(tmp_path)


@pytest.fixture
def shape(path: Path) -> encrypted.Describe:
    """Makes the mapping that describes a small pipeline on a file at `path`."""
    return partial(encrypted.shape, path)


@pytest.fixture
def image() -> crafted.Crafted:
    """An image with right checksums, to be changed."""
    return crafted.Crafted(crafted.base()[0])
