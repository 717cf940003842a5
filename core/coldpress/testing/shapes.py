"""Descriptions of pipelines, as a pipeline file would give them."""

from __future__ import annotations

from typing import Any


def described(base: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """A copy of `base` with these keys, and the keys of these tables, laid over its own."""
    return base | {
        name: {**base.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in tables.items()
    }
