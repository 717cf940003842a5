"""The built-in compressors."""

from __future__ import annotations
