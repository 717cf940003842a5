"""The devices with faults as a plugin, for `coldpress -p coldpress.testing.faults`."""

from __future__ import annotations

from coldpress.hookspecs import hookimpl
from coldpress.roles.device import Device
from coldpress.testing.bitrot import BitrotDevice
from coldpress.testing.flaky import FlakyDevice
from coldpress.testing.lying import LyingDevice


@hookimpl
def coldpress_devices() -> list[type[Device]]:
    """All of them."""
    return [FlakyDevice, BitrotDevice, LyingDevice]
