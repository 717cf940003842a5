"""The end of every conformance class: a whole pipeline that is made with the plugin."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from coldpress.config import load_config
from coldpress.pipeline import Pipeline
from coldpress.testing.kit import Kit
from coldpress.testing.machine import PipelineMachine
from coldpress.testing.shapes import described
from coldpress.testing.threads import stress

SMALL: dict[str, Any] = {
    "slots": 2048,
    "compressor": {"use": "lz4"},
    "allocator": {"limit": "1MiB"},
    "packer": {"block": "16KiB"},
    "device": {"use": "memory", "size": "64MiB"},  # a packer may put each page in a block
    "writeback": {"promote": "first"},
}
"""The pipeline of the threads, as a pipeline file would describe it."""


class WholePipelineTests(Kit):
    """Random histories on a small pipeline against a dict, and threads on a larger one."""

    seconds = 1.0
    """How long the threads run."""

    def tables(self, scratch: Path) -> dict[str, Any]:
        """What a pipeline file says to have the plugin used; other keys have the kit's values."""
        return {self.role: {"use": self.use, **self.given(scratch)}}

    def may_fill(self) -> bool:
        """Whether a store may be refused because of what can never leave the pool."""
        return False

    @pytest.mark.parametrize("writeback", ["inline", "background"])
    def test_the_whole_pipeline_keeps_every_page(self, writeback: str) -> None:
        kit = self

        class Machine(PipelineMachine):
            synchronous = writeback == "inline"
            registry = kit.registry()
            may_fill = kit.may_fill()

            def tables(self) -> dict[str, Any]:
                return kit.tables(Path(self.scratch.name))

        run_state_machine_as_test(Machine, settings=self.settings())

    def test_threads_on_a_whole_pipeline_lose_nothing(self) -> None:
        threads = threading.active_count()
        with tempfile.TemporaryDirectory(prefix="coldpress-kit-") as folder:
            shape = described(SMALL, **self.tables(Path(folder)))
            with Pipeline(load_config(shape, registry=self.registry())) as pipeline:
                report = stress(pipeline, SMALL["slots"], self.seconds, folios=0.02)
                stats = pipeline.stats()
        if report.errors:
            raise report.errors[0]
        assert not report.wrong, report.wrong[0]
        assert stats.pool_bytes_peak <= stats.pool_limit
        assert threading.active_count() == threads, "threads were left behind"
