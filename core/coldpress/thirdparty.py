"""Plugins that exist outside of this distribution, so that an error can say what brings them."""

from __future__ import annotations

DISTRIBUTIONS = {
    ("compressor", "isal"): "coldpress-isal",
    ("device", "fsspec"): "coldpress-fsspec",
    ("entry_type", "dedup"): "coldpress-dedup",
    ("policy", "arc"): "coldpress-arc",
}
"""Role and name, and the distribution to install."""
