"""Config keys of devices with faults that say how often something happens."""

from __future__ import annotations

from typing import Any

import attrs

from coldpress.component import option


def _rate(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"must be from 0 to 1, got {value}")


def chance(of: str) -> float:
    """A key whose value is the share of these that are so."""
    key: float = option(default=0.0, help=f"share of the {of}, 0 to 1", validator=_rate)
    return key
