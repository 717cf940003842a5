"""coldpress: a compressed swap tier in user space, composed from plugins."""

from __future__ import annotations

from coldpress.budget import PoolBudget
from coldpress.component import Buffer, Component, option
from coldpress.errors import (
    ColdpressError,
    CompressorError,
    ConfigError,
    CorruptBlock,
    DeviceError,
    DeviceFull,
    PageLength,
    PipelineClosed,
    PluginError,
    PoolFull,
    SlotEmpty,
    SlotRange,
)
from coldpress.hookspecs import hookimpl
from coldpress.mapping import ReservedMapping
from coldpress.roles import (
    Allocator,
    Compressor,
    Device,
    DeviceEntryType,
    EntryType,
    Frontend,
    PackedBlock,
    Packer,
    Policy,
    PoolEntryType,
    Victim,
    Victims,
)
from coldpress.slotlist import SlotList
from coldpress.units import Percent, Size

__version__ = "0.1.0"

__all__ = [
    "Allocator",
    "Buffer",
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
    "EntryType",
    "Frontend",
    "PackedBlock",
    "Packer",
    "PageLength",
    "Percent",
    "PipelineClosed",
    "PluginError",
    "Policy",
    "PoolBudget",
    "PoolEntryType",
    "PoolFull",
    "ReservedMapping",
    "Size",
    "SlotEmpty",
    "SlotList",
    "SlotRange",
    "Victim",
    "Victims",
    "hookimpl",
]
