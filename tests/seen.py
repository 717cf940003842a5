"""Proof that a state machine sees a fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import coldpress
from coldpress import Pipeline
from coldpress.testing.machine import PipelineMachine


def assert_seen(machine: type[PipelineMachine], fault: Callable[[Pipeline], None]) -> None:
    """Some history of this machine fails on a pipeline with this fault."""
    faulty = type("Faulty", (machine,), {"sabotage": lambda _, pipeline: fault(pipeline)})
    once = settings(
        max_examples=400, stateful_step_count=25, phases=[Phase.generate], database=None
    )
    # What it raises depends on the part: a wrong page, a CorruptBlock, a ValueError of the core.
    with pytest.raises((AssertionError, coldpress.ColdpressError, ValueError, ExceptionGroup)):
        run_state_machine_as_test(faulty, settings=once)
