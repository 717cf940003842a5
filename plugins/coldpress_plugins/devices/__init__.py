"""The built-in devices."""

from __future__ import annotations
