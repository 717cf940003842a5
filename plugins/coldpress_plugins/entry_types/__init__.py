"""The built-in entry types."""

from __future__ import annotations
