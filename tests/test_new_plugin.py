"""`coldpress new-plugin`: what it writes, that it works at once, and what it refuses."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest

from coldpress.cli import main
from coldpress.newplugin import NewPlugin
from coldpress.roles import ROLES

Out = pytest.CaptureFixture[str]
FILES = {
    "README.md",
    "pipeline.toml",
    "pyproject.toml",
    "tox.ini",
    "tests/test_conformance.py",
}


def written(folder: Path) -> set[str]:
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def made(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> tuple[Path, dict[str, Any]]:
    """A plugin's package in `tmp_path`, and what was said of it; it can be imported."""
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", role, f"Mine.{role}", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    said: dict[str, Any] = json.loads(out)
    folder = tmp_path / said["folder"]
    monkeypatch.syspath_prepend(folder / "src")
    return folder, said


def test_it_writes_a_whole_package(made: tuple[Path, dict[str, Any]], role: str) -> None:
    folder, said = made
    dashed = role.replace("_", "-")
    assert said["distribution"] == folder.name == f"coldpress-mine-{dashed}"
    module = said["module"] = f"coldpress_mine_{role}"
    expected = FILES | {f"src/{module}/__init__.py", f"src/{module}/py.typed"}
    assert written(folder) == expected
    assert {str(Path(one).relative_to(folder.name)) for one in said["files"]} == expected
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == said["distribution"]
    assert project["entry-points"]["coldpress"] == {f"Mine.{role}": module}
    assert "$" not in "".join((folder / one).read_text() for one in expected)
    plugin = importlib.import_module(module)
    assert getattr(plugin, said["class"]).name == f"Mine.{role}"
    matrix = f"coldpress matrix --with {role}=Mine.{role}"
    assert (matrix in (folder / "tox.ini").read_text()) == (role != "frontend")


def test_its_pipeline_is_right_and_gives_every_page_back(
    made: tuple[Path, dict[str, Any]], role: str, capsys: Out
) -> None:
    folder, said = made
    loaded = ["-p", said["module"]]
    file = str(folder / "pipeline.toml")
    assert main([*loaded, "check", file]) == 0
    assert (folder / "pipeline.toml").read_text() in (folder / "README.md").read_text()
    library = Path(sysconfig.get_path("stdlib"))
    pages = folder / "pages"
    pages.write_bytes(b"".join(one.read_bytes() for one in sorted(library.glob("*.py"))[:90]))
    capsys.readouterr()
    call = [*loaded, "run", file, "--input", str(pages), "--set", "allocator.limit=512KiB"]
    assert main([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] == found["pages"] > 300
    assert found["written_back_pages"] > 0
    assert found["refaults"] > 0
    if role in found["pipeline"]:
        assert found["pipeline"][role] == f"Mine.{role}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where mypy keeps what it knows of everything but the plugin."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize(
    "call",
    ["ruff check --isolated", "ruff format --isolated --check", "mypy --strict"],
)
def test_its_code_is_in_order(call: str, made: tuple[Path, dict[str, Any]], cache: Path) -> None:
    folder, _ = made
    program, *arguments = call.split()
    tool = Path(sys.executable).with_name(program)
    if not tool.exists():
        pytest.skip(f"{program} is not in this environment; `tox -e new-plugin` has it")
    done = subprocess.run(
        # Whole paths: mypy would take another role's file, as long and as old, for the same.
        [tool, *arguments, folder / "src", folder / "tests"],
        cwd=folder,
        env={
            "MYPYPATH": str(folder / "src"),
            "MYPY_CACHE_DIR": str(cache),
            "RUFF_NO_CACHE": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "policy", "mine", "a b"]) == 0
    *files, empty, head, install, test, check = capsys.readouterr().out.splitlines()
    assert {str(Path(one).relative_to("a b")) for one in files} == written(tmp_path / "a b")
    assert (empty, head) == ("", "next:")
    assert install == "  pip install './a b'"
    assert test == "  coldpress test mine"
    assert check == "  coldpress check 'a b/pipeline.toml'"


def test_a_name_that_is_taken_is_told_and_qualified(tmp_path: Path, capsys: Out) -> None:
    assert main(["new-plugin", "compressor", "zstd", str(tmp_path / "it")]) == 0
    assert capsys.readouterr().err == (
        "coldpress: warning: coldpress 0.1.0 has a compressor 'zstd' already; "
        "pipeline files have to say 'coldpress-zstd:zstd'\n"
    )
    pipeline = tomllib.loads((tmp_path / "it" / "pipeline.toml").read_text())
    assert pipeline["compressor"]["use"] == "coldpress-zstd:zstd"


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    assert main(["new-plugin", "policy", "mine", str(tmp_path)]) == 0
    assert "tox.ini" in written(tmp_path)


def test_nothing_is_ever_written_over(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["new-plugin", "policy", "mine", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"coldpress: error: {tmp_path}: the folder is not empty\n"
    assert main(["new-plugin", "policy", "mine", str(tmp_path / "mine.txt")]) == 2
    assert "mine.txt: it is a file" in capsys.readouterr().err
    assert written(tmp_path) == {"mine.txt"}


def test_what_can_not_be_written_is_one_line(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "file").touch()
    assert main(["new-plugin", "policy", "mine", str(tmp_path / "file" / "it")]) == 2
    assert "it is a file" in capsys.readouterr().err
    assert main(["new-plugin", "policy", "mine", "/proc/no/such"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("coldpress: error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("polcy", "mine", "unknown role 'polcy'; did you mean 'policy'? roles: compressor, "),
        ("entry-type", "", "unknown role 'entry-type'; did you mean 'entry_type'? roles: "),
        ("policy", "", "a plugin can not be called ''"),
        ("policy", "a b", "a plugin can not be called 'a b': it takes letters, digits"),
        ("policy", "../up", "a plugin can not be called '../up'"),
        ("policy", "_x", "a plugin can not be called '_x'"),
        ("policy", "naïve", "a plugin can not be called 'naïve'"),
    ],
)
def test_a_wrong_call_is_one_line(role: str, name: str, message: str, capsys: Out) -> None:
    assert main(["new-plugin", role, name]) == 2
    assert capsys.readouterr().err.startswith(f"coldpress: error: {message}")


@pytest.mark.parametrize(
    ("name", "distribution", "class_name"),
    [
        ("snappy", "coldpress-snappy", "SnappyCompressor"),
        ("My_Codec.2-", "coldpress-my-codec-2", "MyCodec2Compressor"),
        ("842", "coldpress-842", "Plugin842Compressor"),
        ("none", "coldpress-none", "NoneCompressor"),
        ("coldpress-fast", "coldpress-fast", "ColdpressFastCompressor"),
    ],
)
def test_names_are_made_of_any_that_a_plugin_can_have(
    name: str, distribution: str, class_name: str
) -> None:
    plugin = NewPlugin("compressor", name)
    assert plugin.distribution == distribution
    assert plugin.module == distribution.replace("-", "_")
    assert plugin.class_name == class_name
    compile(plugin.files()[f"src/{plugin.module}/__init__.py"], name, "exec")
