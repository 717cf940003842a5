"""Tests that take long and do not depend on the Python: CI runs them on one alone."""

from __future__ import annotations

import os

import pytest

on_one_python = pytest.mark.skipif(
    bool(os.environ.get("CI")) and os.environ.get("COLDPRESS_TEST_MATRIX") != "full",
    reason="in CI, where all pairs are tested is enough: COLDPRESS_TEST_MATRIX=full",
)
