"""The fuzz targets, with their seeds and with changes by chance: what needs no coverage."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from once import on_one_python

sys.path.insert(0, str(Path(__file__).parent.parent))  # the package `tests`, as `-m` sees it

from tests.fuzz import CORPUS
from tests.fuzz.mutations import mutations
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

pytestmark = on_one_python

RUNS = {
    "superblock": 1000,
    "block": 30,
    "image": 10,
    "records": 100,
    "codec": 1000,
    "config": 300,
    "trace": 1000,
}


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    logger = logging.getLogger("coldpress")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_shows_no_defect(target: str) -> None:
    found = sorted((CORPUS / target).iterdir())
    assert found
    for one in found:
        TARGETS[target](one.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_changes_by_chance_show_no_defect(target: str) -> None:
    for data in mutations(seeds()[target], RUNS[target], random.Random(target)):
        TARGETS[target](data)
