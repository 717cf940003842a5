"""A device that passes everything on to another one: what devices with faults are made of."""

from __future__ import annotations

from typing import Any, Self

import attrs

from coldpress.component import Buffer, option, options
from coldpress.errors import DeviceError
from coldpress.registry import default_registry
from coldpress.roles.device import Device
from coldpress.testing.kit import built


@attrs.define(slots=False, eq=False, kw_only=True)
class WrappedDevice(Device):
    """A device over another, which it opens and closes, and which holds the bytes.

    Attributes:
        carrier: config key; the plugin under it, which gets `size`, `persistent` and `format`.
        path: config key; the carrier's, if it has one.

    Notes: as thread-safe as the device under it.
    """

    carrier: str = option(default="memory", help="the device plugin that holds the bytes")
    path: str | None = option(default=None, help="where the carrier is, if it takes a path")
    under: Device = attrs.field(init=False)
    _is_open: bool = attrs.field(init=False, default=False)

    @under.default
    def _built(self) -> Device:
        plugin = default_registry().find("device", self.carrier)
        common: dict[str, Any] = {one.name: getattr(self, one.name) for one in options(Device)}
        where = {} if self.path is None else {"path": self.path}
        device: Device = built("device", plugin, common | where)
        return device

    @classmethod
    def over(cls, device: Device, **given: Any) -> Self:
        """One over this device, which is not open; `given` are its other keys."""
        common = {one.name: getattr(device, one.name) for one in options(Device)}
        one = cls(**common, **given)
        one.under = device
        return one

    def why_forgetful(self) -> str | None:
        return self.under.why_forgetful()

    def open(self) -> None:
        self.under.open()
        self._is_open = True

    @property
    def alignment(self) -> int:
        return self.under.alignment

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.under.read_into(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        self.under.write(offset, data)

    def discard(self, offset: int, length: int) -> None:
        self.under.discard(offset, length)

    def flush(self) -> None:
        self.under.flush()

    def close(self) -> None:
        self._is_open = False
        self.under.close()

    def has(self, offset: int, length: int) -> bool:
        """Whether it is open and has this range; if not, the device under it says so."""
        return self._is_open and 0 <= offset <= offset + length <= self.size

    def check_open(self) -> None:
        """Raises `DeviceError` if it is not open, for what is not passed on."""
        if not self._is_open:
            raise DeviceError(f"{self.name}: device is closed")
