"""Plugins with one fault each, which the conformance kit must find.

Each module has a table FAULTS: a class, and the check that finds it, as `coldpress test` names it.
"""

from __future__ import annotations

from coldpress.component import Component
from coldpress.testing.kit import Kit
from planted import (
    allocators,
    compressors,
    devices,
    entry_types,
    frontends,
    packers,
    policies,
)

FAULTS: dict[str, dict[type[Component], str]] = {
    "compressor": compressors.FAULTS,
    "allocator": allocators.FAULTS,
    "entry_type": entry_types.FAULTS,
    "policy": policies.FAULTS,
    "packer": packers.FAULTS,
    "device": devices.FAULTS,
    "frontend": frontends.FAULTS,
}
"""Of each role."""

KITS: dict[str, type[Kit]] = {"device": devices.Kit, "frontend": frontends.Kit}
"""The role's class as its author would extend it, where that is needed to find all."""
