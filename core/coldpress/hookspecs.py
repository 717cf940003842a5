"""The hooks through which plugins register their classes.

pluggy calls each hook once, when the registry is made; none runs per page. A hook returns the
classes that the plugin offers for the role; the pipeline builds those that the config names.
"""

from __future__ import annotations

import pluggy

from coldpress.roles import (
    Allocator,
    Compressor,
    Device,
    EntryType,
    Frontend,
    Packer,
    Policy,
)

GROUP = "coldpress"
"""The entry-point group in which plugins are found."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin module's function as the implementation of one of these hooks."""


@hookspec
def coldpress_compressors() -> list[type[Compressor]]:  # type: ignore[empty-body]
    """Compressor classes: one folio in, fewer bytes out, and back."""


@hookspec
def coldpress_allocators() -> list[type[Allocator]]:  # type: ignore[empty-body]
    """Allocator classes: keep compressed objects in RAM under a byte limit."""


@hookspec
def coldpress_entry_types() -> list[type[EntryType]]:  # type: ignore[empty-body]
    """Entry type classes: what a slot's word in the swap table can mean."""


@hookspec
def coldpress_policies() -> list[type[Policy]]:  # type: ignore[empty-body]
    """Policy classes: order slots, name victims."""


@hookspec
def coldpress_packers() -> list[type[Packer]]:  # type: ignore[empty-body]
    """Packer classes: turn victims into blocks."""


@hookspec
def coldpress_devices() -> list[type[Device]]:  # type: ignore[empty-body]
    """Device classes: read, write, discard, flush blocks."""


@hookspec
def coldpress_frontends() -> list[type[Frontend]]:  # type: ignore[empty-body]
    """Frontend classes: put a pipeline under someone's program."""


HOOKS = {
    "compressor": "coldpress_compressors",
    "allocator": "coldpress_allocators",
    "entry_type": "coldpress_entry_types",
    "policy": "coldpress_policies",
    "packer": "coldpress_packers",
    "device": "coldpress_devices",
    "frontend": "coldpress_frontends",
}
"""Which hook registers which role."""
