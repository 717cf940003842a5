"""Small pipelines whose device is a file that may be encrypted, and what is stored in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coldpress import Pipeline
from coldpress.testing.pages import KINDS, page
from coldpress.testing.shapes import described

SLOTS = 256
BLOCK = 32 << 10
Describe = Callable[..., dict[str, Any]]


def shape(path: Path, **tables: Any) -> dict[str, Any]:
    small = {
        "slots": SLOTS,
        "compressor": {"use": "lz4"},
        "allocator": {"limit": "256KiB"},
        "packer": {"block": BLOCK},
        "device": {"use": "file", "path": str(path), "size": "2MiB"},
    }
    return described(small, **tables)


def keyed(path: str, **more: Any) -> dict[str, Any]:
    """The table of a persistent device with this key file."""
    return {"persistent": True, "encrypt": path, **more}


def filled(pipeline: Pipeline, version: int = 1) -> dict[int, bytes]:
    model = {slot: page(KINDS[slot % 6], slot, version) for slot in range(SLOTS - 16)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    folio = [page("text", slot, version) for slot in range(SLOTS - 16, SLOTS)]
    pipeline.store(SLOTS - 16, b"".join(folio))
    return model | {SLOTS - 16 + number: data for number, data in enumerate(folio)}
