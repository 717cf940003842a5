"""coldpress: a compressed swap tier in user space, composed from plugins."""

from __future__ import annotations

from coldpress.block import RECORD_BYTES, BlockError, extract_object, table_bytes
from coldpress.budget import PoolBudget
from coldpress.component import Buffer, Component, option
from coldpress.devices import DeviceStatus
from coldpress.errors import (
    ColdpressError,
    CompressorError,
    ConfigError,
    CorruptBlock,
    DeviceError,
    DeviceFull,
    DeviceUnusable,
    FolioShape,
    PageLength,
    PageRefused,
    PipelineClosed,
    PluginError,
    PoolFull,
    SlotEmpty,
    SlotRange,
)
from coldpress.flat import resident
from coldpress.flat import table as flat_table
from coldpress.hookspecs import hookimpl
from coldpress.mapping import ReservedMapping
from coldpress.pipeline import Pipeline, open  # noqa: A004
from coldpress.recordblock import RecordBlock
from coldpress.roles import (
    Allocator,
    CacheEntryType,
    Compressor,
    Device,
    DeviceEntryType,
    DeviceObject,
    EntryContext,
    EntryType,
    Frontend,
    OpenBlock,
    PackedBlock,
    Packer,
    Policy,
    PoolEntryType,
    ShadowEntryType,
    Victim,
    Zspage,
)
from coldpress.slotlist import SlotList
from coldpress.stats import Stats
from coldpress.units import Percent, Size

__version__ = "0.1.0"

__all__ = [
    "RECORD_BYTES",
    "Allocator",
    "BlockError",
    "Buffer",
    "CacheEntryType",
    "ColdpressError",
    "Component",
    "Compressor",
    "CompressorError",
    "ConfigError",
    "CorruptBlock",
    "Device",
    "DeviceEntryType",
    "DeviceError",
    "DeviceFull",
    "DeviceObject",
    "DeviceStatus",
    "DeviceUnusable",
    "EntryContext",
    "EntryType",
    "FolioShape",
    "Frontend",
    "OpenBlock",
    "PackedBlock",
    "Packer",
    "PageLength",
    "PageRefused",
    "Percent",
    "Pipeline",
    "PipelineClosed",
    "PluginError",
    "Policy",
    "PoolBudget",
    "PoolEntryType",
    "PoolFull",
    "RecordBlock",
    "ReservedMapping",
    "ShadowEntryType",
    "Size",
    "SlotEmpty",
    "SlotList",
    "SlotRange",
    "Stats",
    "Victim",
    "Zspage",
    "extract_object",
    "flat_table",
    "hookimpl",
    "open",
    "option",
    "resident",
    "table_bytes",
]
