"""Which ranges of a device a caller may name."""

from __future__ import annotations


def check_range(offset: int, length: int, size: int, alignment: int = 1) -> None:
    """Raises `ValueError`, a mistake of the caller's, for a range that the device does not have."""
    if offset < 0 or length < 0 or offset + length > size:
        raise ValueError(
            f"{length} bytes at offset {offset} are not inside the {size} of the device"
        )
    if (offset | length) % alignment:
        raise ValueError(
            f"{length} bytes at offset {offset}: both must be multiples of {alignment}"
        )
