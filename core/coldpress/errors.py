"""Every error coldpress raises on purpose; all of them are a `ColdpressError`."""

from __future__ import annotations

import attrs


class ColdpressError(Exception):
    """Base of all errors that coldpress raises on purpose."""


class SlotEmpty(ColdpressError, KeyError):
    """Nothing is stored in this slot.

    Attributes:
        slot: the slot that was asked for.
    """

    def __init__(self, slot: int) -> None:
        super().__init__(f"slot {slot} is empty")
        self.slot = slot

    def __str__(self) -> str:  # KeyError would print the repr of its argument
        return str(self.args[0])


class SlotRange(ColdpressError, IndexError):
    """The slot number is outside `0 <= slot < slots`.

    Attributes:
        slot: the slot that was asked for.
        slots: how many the pipeline has.
    """

    def __init__(self, slot: int, slots: int) -> None:
        super().__init__(f"slot {slot} is outside 0..{slots - 1} (the pipeline has {slots} slots)")
        self.slot = slot
        self.slots = slots


class PageLength(ColdpressError, ValueError):
    """A buffer is not as long as the call needs."""


class FolioShape(ColdpressError, ValueError):
    """A folio's first slot is no multiple of the number of its pages."""


class PageRefused(ColdpressError):
    """None of the pipeline's `entries` takes this page."""


class PoolFull(ColdpressError):
    """The pool is at its limit and nothing can be written out; what was stored before still is."""


class PipelineClosed(ColdpressError):
    """The pipeline was closed before or during this call."""


class DeviceError(ColdpressError):
    """A read, write, discard or flush of the device failed; the message says where."""


class DeviceFull(DeviceError):
    """No space is left: on the medium under a device (ENOSPC, EDQUOT), or beside a drained one."""


class DeviceUnusable(DeviceError):
    """The device that the config names can not be opened; nothing was changed."""


class CorruptBlock(ColdpressError):
    """Bytes read from the device are not the bytes that were written.

    Attributes:
        slot: the slot that was asked for.
        block: the number of the block that its object is in.
        offset: bytes from the device's start to the object.
        device: the number of the device.
    """

    def __init__(self, slot: int, block: int, offset: int, why: str, *, device: int = 0) -> None:
        where = named_block(device, block)
        super().__init__(f"slot {slot}: {where}, device offset {offset}: {why}")
        self.slot = slot
        self.device = device
        self.block = block
        self.offset = offset


class CompressorError(ColdpressError):
    """A compressor could not give back a page from bytes whose checksum is right."""


class PluginError(ColdpressError):
    """A plugin can not be loaded or breaks the contract of its role."""


@attrs.frozen
class Problem:
    """One thing wrong with a pipeline's configuration.

    `where` is `file:line:column`, `--set key` or the key's path; `message` says what is wrong.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(ColdpressError, ValueError):
    """The configuration is wrong.

    Attributes:
        problems: everything that was found, each with `where` it is (`file:line:column`,
            `--set key` or the key's path) and a `message`.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def named_block(device: int, block: int) -> str:
    """A block as messages name it: most pipelines have device 0 alone, so that is left out."""
    return f"block {block} of device {device}" if device else f"block {block}"
