"""The built-in policies."""

from __future__ import annotations
