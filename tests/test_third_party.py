"""The distributions of examples/third_party are written as strangers would have to write them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import coldpress
import coldpress.testing
import coldpress_plugins
from coldpress.cli import main
from coldpress.registry import Registry, using
from coldpress.thirdparty import DISTRIBUTIONS

FOLDER = Path(__file__).parents[1] / "examples" / "third_party"
SOURCES = sorted(
    one
    for pattern in ("*.py", "*/src/**/*.py", "*/tests/**/*.py")  # and not what tox builds there
    for one in FOLDER.glob(pattern)
)
PUBLIC = {"coldpress": set(coldpress.__all__), "coldpress.testing": set(coldpress.testing.__all__)}


def used(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The package and the name of all that the code takes from coldpress and its plugins."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                package, _, rest = one.name.partition(".")
                yield (package, rest) if one.asname is None else (one.name, "as another name")
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, one.name) for one in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


def not_public(code: str) -> list[str]:
    return [
        f"{package}.{name}"
        for package, name in used(ast.parse(code))
        if package.split(".")[0] in ("coldpress", "coldpress_plugins")
        and (package, name) not in (("coldpress", ""), ("coldpress", "testing"))
        and name not in PUBLIC.get(package, ())
    ]


@pytest.mark.parametrize("source", SOURCES, ids=lambda one: str(one.relative_to(FOLDER)))
def test_only_public_names_are_used(source: Path) -> None:
    assert not_public(source.read_text()) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import coldpress", []),
        ("from coldpress import Policy, SlotList", []),
        ("from coldpress.testing import CompressorTests", []),
        ("import coldpress\ncoldpress.open()", []),
        ("from coldpress.flat import table", ["coldpress.flat.table"]),
        ("from coldpress import flat", ["coldpress.flat"]),
        ("import coldpress.flat", ["coldpress.flat"]),
        ("import coldpress as cp", ["coldpress.as another name"]),
        ("import coldpress\ncoldpress.flat.table", ["coldpress.flat"]),
        ("from coldpress.testing.kit import built", ["coldpress.testing.kit.built"]),
        ("def f():\n from coldpress_plugins import lru", ["coldpress_plugins.lru"]),
    ],
)
def test_the_scan_finds_what_is_not_public(code: str, found: list[str]) -> None:
    assert not_public(code) == found


def test_each_is_known_by_what_it_brings() -> None:
    folders = {one.name for one in FOLDER.glob("coldpress-*")}
    assert folders == set(DISTRIBUTIONS.values())


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values())
def test_a_pipeline_that_wants_one_says_what_brings_it(
    distribution: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = FOLDER / f"pipeline-{distribution.removeprefix('coldpress-')}.toml"
    with using(Registry([(coldpress_plugins, "coldpress", coldpress.__version__)])):
        assert main(["check", str(file)]) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"; pip install {distribution} brings it")
