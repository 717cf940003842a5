"""The built-in allocators."""

from __future__ import annotations
