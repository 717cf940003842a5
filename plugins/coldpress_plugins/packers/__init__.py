"""The built-in packers."""

from __future__ import annotations
