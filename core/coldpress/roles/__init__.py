"""The seven roles of a pipeline, one abstract class each, with the whole contract."""

from __future__ import annotations

from coldpress.component import Component
from coldpress.roles.allocator import Allocator, Zspage
from coldpress.roles.compressor import Compressor
from coldpress.roles.device import Device
from coldpress.roles.entry_type import (
    CacheEntryType,
    DeviceEntryType,
    EntryContext,
    EntryType,
    PoolEntryType,
    ShadowEntryType,
)
from coldpress.roles.frontend import Frontend
from coldpress.roles.packer import (
    BlockIdentity,
    DeviceObject,
    Objects,
    OpenBlock,
    PackedBlock,
    Packer,
    Placed,
    Victim,
)
from coldpress.roles.policy import Policy

ROLES: dict[str, type[Component]] = {
    "compressor": Compressor,
    "allocator": Allocator,
    "entry_type": EntryType,
    "policy": Policy,
    "packer": Packer,
    "device": Device,
    "frontend": Frontend,
}
"""Each role's name, as in the hooks and in `coldpress plugins`, and its abstract class."""

__all__ = [
    "ROLES",
    "Allocator",
    "BlockIdentity",
    "CacheEntryType",
    "Compressor",
    "Device",
    "DeviceEntryType",
    "DeviceObject",
    "EntryContext",
    "EntryType",
    "Frontend",
    "Objects",
    "OpenBlock",
    "PackedBlock",
    "Packer",
    "Placed",
    "Policy",
    "PoolEntryType",
    "ShadowEntryType",
    "Victim",
    "Zspage",
]
