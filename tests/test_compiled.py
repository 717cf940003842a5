"""Where the hot modules come from: compiled in a wheel, plain in an editable install."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOT = [
    ".".join(pxd.relative_to(ROOT / root).with_suffix("").parts)
    for root in ("core", "plugins")
    for pxd in sorted((ROOT / root).rglob("*.pxd"))
]


@pytest.mark.parametrize("name", HOT)
def test_a_hot_module_is_compiled_where_it_should_be(name: str) -> None:
    module = importlib.import_module(name)
    compiled = not str(module.__file__).endswith(".py")
    assert compiled == bool(os.environ.get("COLDPRESS_EXPECT_COMPILED"))


def test_the_same_name_is_not_both_in_the_tree() -> None:
    # A shared object left beside its source would hide every later edit of it.
    assert not [str(path) for root in ("core", "plugins") for path in (ROOT / root).rglob("*.so")]
