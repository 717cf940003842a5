"""The tutorial does what it says, step by step, in an empty directory."""

from __future__ import annotations

import os
import sys
import sysconfig
import venv
from pathlib import Path

import built_site
import pytest
import tutorial

PAGE = tutorial.PAGE.read_text()
LONGER = "## Prove it\n"
"""The heading from which on the steps take seconds: `tox -e docs` alone carries them out."""


def carry_out(steps: list[tutorial.Step], folder: Path, scripts: Path) -> None:
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    for step in steps:
        tutorial.carry_out(step, folder, {"PATH": path})


def test_a_codec_is_written_tried_and_given_an_option(tmp_path: Path) -> None:
    steps = list(tutorial.steps(PAGE.partition(LONGER)[0]))
    assert sum(step.command is not None for step in steps) >= 5
    assert sum(step.file is not None for step in steps) >= 4
    carry_out(steps, tmp_path, Path(sys.executable).parent)


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """Of an environment that has all that this one has; what is installed there stays there."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # Not only on its path: what is installed here for editing is found by .pth files of its own.
    here = sysconfig.get_path("purelib")
    pth = f"import site; site.addsitedir({here!r})\n"
    (Path(paths["purelib"]) / "here.pth").write_text(pth)
    command = Path(paths["scripts"]) / "coldpress"
    command.write_text('#!/bin/sh\nexec python -m coldpress "$@"\n')
    command.chmod(0o755)
    return command.parent


@pytest.mark.skipif(built_site.folder() is None, reason="`tox -e docs` carries it out")
def test_the_tutorial_as_a_whole(tmp_path: Path, scripts: Path) -> None:
    assert LONGER in PAGE
    folder = tmp_path / "work"
    folder.mkdir()
    carry_out(list(tutorial.steps(PAGE)), folder, scripts)
