"""Bytes from anywhere, fed to everything that reads bytes.

python -m tests.fuzz TARGET [options of libFuzzer]     guided by coverage, needs atheris
python -m tests.fuzz --minutes 60                      all targets in turn, and what came of it
"""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""A folder of seeds for each target."""
