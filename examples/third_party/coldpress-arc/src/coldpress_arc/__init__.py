"""The adaptive replacement cache, as a policy for coldpress."""

from __future__ import annotations

import coldpress
from coldpress_arc.policy import Arc


@coldpress.hookimpl
def coldpress_policies() -> list[type[coldpress.Policy]]:
    return [Arc]


__all__ = ["Arc"]
