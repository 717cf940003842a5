"""The keys of a pipeline file that belong to no plugin, and what a checked file becomes."""

from __future__ import annotations

from typing import Literal

import attrs

from coldpress.component import option
from coldpress.errors import PluginError
from coldpress.flat import OS_PAGE
from coldpress.layout import MOST_SLOTS, is_page_size
from coldpress.registry import Registry
from coldpress.roles import Allocator, Compressor, Device, EntryType, Packer, Policy
from coldpress.units import Percent, Size, format_size

DEFAULT_USE = {
    "compressor": "zstd",
    "allocator": "zsmalloc",
    "policy": "lru",
    "packer": "bounce",
    "device": "file",
}
"""The roles that a pipeline file has a table for, and the plugin if it does not say `use`."""


def _page_size(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not is_page_size(value):
        raise ValueError(f"must be a power of two from 4KiB to 64KiB, got {format_size(value)}")
    if value % OS_PAGE:
        raise ValueError(
            f"must be a multiple of this system's page, {format_size(OS_PAGE)}, "
            f"got {format_size(value)}"
        )


def _slots(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= MOST_SLOTS:
        raise ValueError(f"must be from 1 to {MOST_SLOTS}, got {value}")


def _some(instance: object, attribute: attrs.Attribute[object], value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError("must name at least one entry type")


def _not_negative(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise ValueError(f"must not be negative, got {value}")


@attrs.frozen(kw_only=True)
class TopLevel:
    """The keys outside all tables."""

    page_size: Size = option(
        default=Size(4096), help="bytes of a page, a power of two", validator=_page_size
    )
    slots: int = option(default=1_000_000, help="how many slots there are", validator=_slots)
    entries: tuple[str, ...] = option(
        default=("filled", "zswap", "raw"),
        help="the entry types that are offered a page at store, in this order",
        validator=_some,
    )


@attrs.frozen(kw_only=True)
class WritebackConfig:
    """The table [writeback]: when the coldest objects go to the device, and how they return."""

    high: Percent = option(default=Percent(0.95), help="of the pool's limit: writeback starts")
    accept: Percent = option(default=Percent(0.90), help="of the pool's limit: writeback stops")
    promote: Literal["never", "first", "second"] = option(
        default="second", help="the read from the device that brings an object back to RAM"
    )
    readahead: bool = option(
        default=False,
        help="with an object that is brought back, bring along the others of its block",
    )


@attrs.frozen(kw_only=True)
class CacheConfig:
    """The table [cache]: the swap cache in front of the pool."""

    pages: int = option(
        default=0,
        help="pages kept as they were stored until they are cold, in half of the pool at most",
        validator=_not_negative,
    )


PLAIN_TABLES = {"writeback": WritebackConfig, "cache": CacheConfig}
"""The tables that belong to no plugin."""


@attrs.frozen(kw_only=True)
class PipelineConfig(TopLevel):
    """A pipeline that was checked and can be opened.

    The components are built but not open. `entry_types` holds those of `entries`, in that order,
    then `packed`, `shadow` and `folio`, which claim no page. `names` maps a role to what its `use`
    says, `registry` is where that was looked up.
    """

    compressor: Compressor
    allocator: Allocator
    policy: Policy
    packer: Packer
    device: Device
    entry_types: tuple[EntryType, ...]
    writeback: WritebackConfig
    cache: CacheConfig
    names: dict[str, str]
    registry: Registry = attrs.field(repr=False, eq=False)
    _used: list[bool] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @property
    def claimers(self) -> tuple[EntryType, ...]:
        """The entry types that are offered pages, in their order."""
        return self.entry_types[: len(self.entries)]

    def use_once(self) -> None:
        """Raises `PluginError` at the second call: two pipelines can not share components."""
        if self._used:
            raise PluginError("this configuration was opened before: load it again for another")
        self._used.append(True)
