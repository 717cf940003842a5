"""The tutorial does what it says, step by step, in an empty directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import built_site
import pytest
import tutorial

PAGE = tutorial.PAGE.read_text()
LONGER = "## Prove it\n"
"""The heading from which on the steps take seconds: `tox -e docs` alone carries them out."""


def carry_out(steps: list[tutorial.Step], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in steps:
        tutorial.carry_out(step, folder, {"PATH": path})


def test_a_codec_is_written_tried_and_given_an_option(tmp_path: Path) -> None:
    steps = list(tutorial.steps(PAGE.partition(LONGER)[0]))
    assert sum(step.command is not None for step in steps) >= 5
    assert sum(step.file is not None for step in steps) >= 4
    carry_out(steps, tmp_path)


@pytest.mark.skipif(built_site.folder() is None, reason="`tox -e docs` carries it out")
def test_the_tutorial_as_a_whole(tmp_path: Path) -> None:
    assert LONGER in PAGE
    carry_out(list(tutorial.steps(PAGE)), tmp_path)
