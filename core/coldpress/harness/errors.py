"""What is wrong with the call of a run."""

from __future__ import annotations

from coldpress.errors import ColdpressError


class InputError(ColdpressError):
    """An input, a trace or a workload that was asked for can not be used as it is."""
