"""The distributions as installed: found, described, checked and run by the `coldpress` command."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

HERE = Path(__file__).parent
FOLDERS = sorted(one.parent for one in HERE.glob("coldpress-*/pyproject.toml"))
PIPELINES = sorted(HERE.glob("pipeline-*.toml"))


def coldpress(*args: str, cwd: Path) -> Any:
    """What the command says, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "coldpress", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return json.loads(done.stdout)


def test_each_brings_the_plugin_that_it_is_named_for(tmp_path: Path) -> None:
    found = {
        one["distribution"]: one["name"] for one in coldpress("plugins", "--json", cwd=tmp_path)
    }
    for folder in FOLDERS:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert folder.name == project["name"]
        assert f"coldpress-{found[folder.name]}" == folder.name


def test_there_is_a_pipeline_for_each() -> None:
    assert [f"coldpress-{one.stem.partition('-')[2]}" for one in PIPELINES] == [
        one.name for one in FOLDERS
    ]


@pytest.mark.parametrize("file", PIPELINES, ids=lambda one: one.stem)
def test_its_pipeline_is_right_and_gives_every_page_back(file: Path, tmp_path: Path) -> None:
    coldpress("check", str(file), "--json", cwd=tmp_path)
    schema = coldpress("schema", cwd=tmp_path)
    Draft202012Validator(schema).validate(tomllib.loads(file.read_text()))
    corpus = tmp_path / "input"
    library = Path(json.__file__).parents[1]
    corpus.write_bytes(
        b"".join(one.read_bytes() for one in sorted(library.glob("*.py")))[: 6 << 20]
    )
    found = coldpress("run", str(file), "--input", str(corpus), "--json", cwd=tmp_path)
    assert found["verified"] == found["pages"] > 1000
    assert found["written_back_pages"] > 0
    assert found["pool_bytes_peak"] <= found["pool_limit"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["input"]  # nothing is left behind
