"""The devices of a running pipeline: another one is added, one is drained and closed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import attrs

from coldpress.apart import Apart
from coldpress.blockstore import BlockStore
from coldpress.config import PipelineConfig, load_device
from coldpress.drain import Drain
from coldpress.errors import ConfigError, DeviceError, Problem
from coldpress.locks import Gate
from coldpress.opendevice import OpenDevice
from coldpress.units import format_size


@attrs.frozen
class DeviceStatus:
    """One device of a pipeline, at one moment.

    Attributes:
        number: what `Pipeline.drain_device` takes; the first device has 0, no two ever the same.
        name: the plugin's name.
        size: bytes that coldpress may use of it.
        used_bytes: of these, bytes of the blocks in use.
        live_bytes: bytes of the objects on it that a slot refers to.
        state: "open", or "draining" while it takes no more blocks.
        bad_blocks: blocks that can not be written any more, and are not used.
        error: why the latest write to it failed, or else the latest flush; "" if neither has.
    """

    number: int
    name: str
    size: int
    used_bytes: int
    live_bytes: int
    state: Literal["open", "draining"]
    bad_blocks: int
    error: str


class Devices:
    """Adds, drains and lists devices, which may have `largest` bytes together.

    Notes: thread-safe.
    """

    def __init__(
        self,
        gate: Gate,
        store: BlockStore,
        config: PipelineConfig,
        largest: int,
        begin_drain: Callable[[OpenDevice, threading.Event], Drain],
    ) -> None:
        self._gate = gate
        self._store = store
        self._config = config
        self._largest = largest
        self._begin_drain = begin_drain

    def add(self, given: Mapping[str, Any]) -> int:
        """Open the device of this table; its number. Raises as `Pipeline.add_device` does."""
        device = load_device(given, self._config)
        if device.persistent or self._config.device.persistent:
            raise _refused("a pipeline with a persistent device has that one alone")
        if device.encrypt != self._config.device.encrypt:
            here = self._config.device.encrypt
            raise _refused(
                f"'encrypt' has to be what the pipeline began with, {here!r}, for all its devices"
            )
        with self._gate.lock:
            self._gate.check()
        self._store.start(device)
        try:
            with self._gate.entered():
                one = self._store.space.join(device, self._largest)
                if one is None:
                    message = (
                        f"'size' in [device] {device.name}: with the devices there are, one of "
                        f"{format_size(device.size)} is not possible: all together may have "
                        f"{format_size(self._largest)}"
                    )
                    raise ConfigError([Problem("device.size", message)])
                return one.number
        except BaseException:
            with contextlib.suppress(DeviceError):  # the first error says what is wrong
                device.close()
            raise

    def drain(self, number: int) -> int:
        """Empty and close a device; bytes moved. Raises as `Pipeline.drain_device` does."""
        # Ctrl-C must not come amid a change of the tables.
        return Apart("coldpress-drain", partial(self._drain, number)).result()

    def list(self) -> list[DeviceStatus]:
        """All of them, by their numbers."""
        with self._gate.entered():
            members = sorted(self._store.space.members, key=lambda one: one.number)
            return [
                DeviceStatus(
                    number=one.number,
                    name=one.device.name,
                    size=one.device.size,
                    used_bytes=one.space.pages * self._config.page_size,
                    live_bytes=one.space.live_bytes,
                    state="draining" if one.draining else "open",
                    bad_blocks=one.space.bad,
                    error=one.health.error,
                )
                for one in members
            ]

    def _drain(self, number: int, stop: threading.Event) -> int:
        space = self._store.space
        with self._gate.entered():
            one = self._drainable(number)
            drain = self._begin_drain(one, stop)
            space.drain(one, True)
        try:
            return drain.run()
        finally:
            with self._gate.lock:
                if not one.forgotten:
                    space.drain(one, False)

    def _drainable(self, number: int) -> OpenDevice:
        members = {one.number: one for one in self._store.space.members}
        one = members.get(number)
        if one is None:
            there = ", ".join(map(str, sorted(members)))
            raise _refused(f"there is no device {number!r}; there is {there}")
        if one.draining:
            raise _refused(f"device {number} is being drained already")
        if all(other.draining for other in members.values() if other is not one):
            raise _refused(f"device {number} is the only one; add another before it is drained")
        return one


def _refused(why: str) -> ConfigError:
    return ConfigError([Problem("device", why)])
