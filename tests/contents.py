"""What a pipeline has in its slots, against what it was given."""

from __future__ import annotations

from collections.abc import Iterable

from coldpress import Pipeline, SlotEmpty
from coldpress.testing.pages import same


def load(pipeline: Pipeline, slot: int) -> bytes | None:
    try:
        return pipeline.load(slot)
    except SlotEmpty:
        return None


def holds(pipeline: Pipeline, model: dict[int, bytes], slots: Iterable[int] | None = None) -> None:
    """Each slot, or each of these, has what the model says, or nothing."""
    for slot in range(pipeline.config.slots) if slots is None else slots:
        found, wanted = load(pipeline, slot), model.get(slot)
        if found is None or wanted is None:
            assert found is wanted, f"slot {slot}"
        else:
            assert same(found, wanted), f"slot {slot}"
