"""A small pipeline on a device in RAM, with each packer."""

from __future__ import annotations

from typing import Any

from coldpress.testing.shapes import described

PACKERS = {
    "page": {"use": "page"},
    "zspage": {"use": "zspage"},
    "zsmalloc": {"use": "zsmalloc", "block": "8KiB"},
    "bounce": {"use": "bounce", "block": "16KiB"},
    "aligned": {"use": "aligned", "block": "16KiB"},
}


def shape(packer: dict[str, str], **tables: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "slots": 4096,
        "compressor": {"use": "lz4"},
        "allocator": {"use": "zsmalloc", "limit": "1MiB"},
        "packer": packer,
        "device": {"use": "memory", "size": "32MiB"},
        "writeback": {"promote": "first"},
    }
    return described(base, **tables)
