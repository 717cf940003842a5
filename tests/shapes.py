"""Descriptions of pipelines, as a pipeline file would give them."""

from __future__ import annotations

from typing import Any


def described(base: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """A copy of `base` with the keys of these tables laid over its own."""
    return base | {name: {**base.get(name, {}), **table} for name, table in tables.items()}
