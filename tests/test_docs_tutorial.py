"""The tutorial does what it says, step by step, in an empty directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tutorial


def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    environ = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = list(tutorial.steps(tutorial.PAGE.read_text()))
    for step in done:
        tutorial.carry_out(step, tmp_path, environ)
    assert sum(step.command is not None for step in done) >= 5
    assert sum(step.file is not None for step in done) >= 4
