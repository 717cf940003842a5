"""From nothing to a conforming plugin of each role, in a fresh environment, by the commands told.

It installs from the package index and takes more than a minute: `tox -e new-plugin`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from coldpress.roles import ROLES

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    "COLDPRESS_NEW_PLUGIN" not in os.environ, reason="`tox -e new-plugin` carries it out"
)

Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("author")


@pytest.fixture(scope="module")
def shell(place: Path) -> Shell:
    """Runs a command in `place`, with a fresh environment that coldpress was installed in."""
    subprocess.run([sys.executable, "-m", "venv", str(place / "env")], check=True)
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environ |= {
        "PATH": f"{place / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "COLDPRESS_COMPILE": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(command: str) -> str:
        done = subprocess.run(
            command, shell=True, cwd=place, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run(f"pip install -q {shlex.quote(f'{ROOT}[testing]')}")
    return run


@pytest.fixture(scope="module")
def told(shell: Shell) -> dict[str, list[str]]:
    """For each role, the commands that `new-plugin` told after it had written the package."""
    found = {}
    for role in ROLES:
        out = shell(f"coldpress new-plugin {role} my-{role}")
        lines = out.splitlines()
        found[role] = [line.strip() for line in lines[lines.index("next:") + 1 :]]
    return found


@pytest.fixture(scope="module")
def installed(shell: Shell, told: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same, after the first of these commands."""
    (first, *_), *others = told.values()
    assert first == "pip install ./coldpress-my-compressor"
    shell(first)
    # The other folders by one command, and built by what is there: it saves half a minute.
    folders = [install.removeprefix("pip install ") for install, *_ in others]
    shell("pip install hatchling")
    shell(f"pip install --no-build-isolation --no-deps {' '.join(folders)}")
    return told


@pytest.fixture(scope="module")
def reports(shell: Shell, installed: dict[str, list[str]]) -> dict[str, Any]:
    """What the second of the commands reports of each, two at a time."""
    with ThreadPoolExecutor(2) as threads:
        out = threads.map(lambda role: shell(f"{installed[role][1]} --json"), ROLES)
        return {role: json.loads(text) for role, text in zip(ROLES, out, strict=True)}


@pytest.mark.parametrize("role", ROLES)
def test_it_conforms_as_it_is(role: str, reports: dict[str, Any]) -> None:
    assert reports[role]["ok"] is True
    (plugin,) = reports[role]["plugins"]
    assert (plugin["role"], plugin["name"]) == (role, f"my-{role}")
    outcomes = [one["outcome"] for one in plugin["checks"]]
    assert outcomes.count("passed") >= 8
    assert "failed" not in outcomes


@pytest.mark.parametrize("role", ROLES)
def test_a_pipeline_file_uses_it(
    role: str, shell: Shell, place: Path, installed: dict[str, list[str]]
) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    pages = place / "pages"
    pages.write_bytes(b"".join(one.read_bytes() for one in sorted(library.glob("*.py"))))
    _, _, check = installed[role]
    shell(check)
    file = check.split()[-1]
    run = f"coldpress run {file} --input {pages} --set allocator.limit=1MiB --json"
    found = json.loads(shell(run))
    assert found["verified"] == found["pages"] > 500
    assert found["written_back_pages"] > 0
    if role in found["pipeline"]:
        assert found["pipeline"][role] == f"my-{role}"


def test_its_own_tests_pass_too(shell: Shell, installed: dict[str, list[str]]) -> None:
    shell("cd coldpress-my-frontend && python -m pytest -q -p no:cacheprovider")
