"""Other parts for a running pipeline: made ready beside the old ones, then switched at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import attrs

from coldpress.changes import (
    AllocatorChange,
    Change,
    CompressorChange,
    PackerChange,
    PolicyChange,
    Running,
)
from coldpress.config import PipelineConfig
from coldpress.config.change import change_config

_CHANGES: dict[str, Callable[[Any], Change]] = {
    "packer": PackerChange,
    "allocator": AllocatorChange,
    "compressor": CompressorChange,
    "policy": PolicyChange,
}


class Live:
    """Gives a running pipeline other parts, several of them all or none.

    Attributes: `count`, how often that was done.

    Notes: one thread at a time, without the pipeline's lock.
    """

    def __init__(self, running: Running) -> None:
        self.count = 0
        self._running = running

    def change(self, config: PipelineConfig, changes: Mapping[str, Any]) -> PipelineConfig:
        """Put what `changes` describes in the place of what `config` has; the configuration then.

        Whatever it raises, all is as it was before.
        """
        running = self._running
        changed = change_config(config, changes, running.store.largest_folio)
        parts = [kind(getattr(changed, role)) for role, kind in _CHANGES.items() if role in changes]
        if not parts:
            return config
        discard = ExitStack()
        try:
            for part in parts:
                part.prepare(running, discard)
            with running.gate.entered(), ExitStack() as undo:
                for part in parts:
                    part.switch(running, undo)
                undo.pop_all()
                self.count += 1
        except BaseException:
            with running.gate.lock:
                discard.close()
            raise
        changed = attrs.evolve(changed, entry_types=running.entries.present_types)
        changed.use_once()  # it is this pipeline's, and no other's
        return changed
