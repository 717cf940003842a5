"""What is wrong with a call."""

from __future__ import annotations

from coldpress.errors import ColdpressError


class InputError(ColdpressError):
    """What the call names, such as an input, a trace or a plugin, can not be used as it is."""
