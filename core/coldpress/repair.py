"""Repairing a persistent image: what is good leaves the damaged blocks, what is lost is said so.

All of it is done by a pipeline, so a crash at any moment leaves what a crash of a pipeline leaves:
a slot whose newest record is lost is emptied, which a tombstone keeps an older one from undoing;
what is good is stored anew; and only when that is durable are the damaged blocks voided.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence

import attrs

from coldpress import beforehand
from coldpress.block import RECORD_BYTES, BlockError, Record
from coldpress.config import PipelineConfig, load_config
from coldpress.durable import WORD_BYTES, is_in_word, page_of_word
from coldpress.durablestore import DurableStore
from coldpress.errors import (
    CompressorError,
    CorruptBlock,
    DeviceError,
    DeviceUnusable,
    PluginError,
)
from coldpress.flat import reserve
from coldpress.image import Image, Persistent
from coldpress.knownids import KnownIds
from coldpress.pipeline import Pipeline
from coldpress.registry import default_registry
from coldpress.roles.packer import KIND_TOMBSTONE, KIND_WORD
from coldpress.scan import Progress, State
from coldpress.superblock import COMPRESSOR, ENTRY_TYPE, Superblock
from coldpress.survey import Look, Seen


@attrs.define
class Repaired:
    """What was done.

    Attributes: `lost`, slots that had a page of which nothing is left, and are empty now; `moved`,
    how many slots have their page in another block now; `voided`, how many blocks are as if they
    had never been written; `refused`, how many could not be emptied; `finished`, whether it came to
    its end: else what it wrote last may not be durable, and is done again by the next.
    """

    lost: list[int] = attrs.field(factory=list)
    moved: int = 0
    voided: int = 0
    refused: int = 0
    finished: bool = False


def repair(
    image: Image,
    found: Persistent,
    looks: Sequence[Look],
    key: str,
    progress: Progress,
    stop: Callable[[], bool],
    done: Repaired,
    again: Callable[[Sequence[Look]], None],
) -> None:
    """Repair an image in which the blocks of these looks are damaged; it is closed by this.

    `key` is the path of its key file, or nothing; `stop` tells between two steps whether to end
    with `KeyboardInterrupt`, and all is in order then; `done` is told of each step, so that it says
    what was done, however this ends; `again` is called with what counts instead of the looks if
    something could not be read, and was read again. Raises `ConfigError` if a plugin is missing
    that made what is there, `DeviceError` if the device can not be written, or has not the room of
    a block or two.
    """
    if found.superblock.encrypted and not key:
        raise DeviceUnusable(f"{image.path} is encrypted: --key FILE is needed to repair it")
    path, kind = image.path, "nvme" if image.block else "file"
    image.close()
    one = found.superblock
    if image.size < one.size and not image.block:
        _extend(path, one.size)
    if beforehand.is_needed(looks):
        device = _config(path, kind, one, key).device
        looks = beforehand.prepare(device, path, image.block, found, key, looks, progress)
        again(looks)
    done.voided = sum(look.state == State.REMAINS for look in looks)
    damaged = [look for look in looks if look.state not in (State.TORN, State.REMAINS)]
    with Pipeline(_config(path, kind, one, key), synchronous=True, progress=progress) as pipeline:
        _Repair(pipeline, one, done).run(damaged, stop)
    done.finished = True


def _extend(path: str, size: int) -> None:
    """Give a file that was cut off its length again: a pipeline opens no other.

    Raises `DeviceError`.
    """
    try:
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.seek(0, os.SEEK_END) < size:
                file.truncate(size)
                os.fsync(file.fileno())
    except BlockingIOError as error:
        raise DeviceUnusable(f"{path} is in use by another process") from error
    except OSError as error:
        raise DeviceError(f"{path} can not be {size} bytes long: {error.strerror}") from error


def _config(path: str, kind: str, one: Superblock, key: str) -> PipelineConfig:
    """A pipeline for this image: the superblock says all that it has to agree with.

    Plugins that are not there, or not to be used, are left out: its opening tells if a slot needs
    one.
    """
    ids = KnownIds(one.ids, default_registry())
    config = load_config(
        {
            "page_size": one.page_size,
            "slots": one.slots,
            "entries": [*ids.in_words(), "zswap", "raw"],
            "packer": {"use": "bounce", "block": one.block},
            "device": {
                "use": kind,
                "path": path,
                "size": one.size,
                "persistent": True,
                "encrypt": key,
            },
        }
    )
    # One that has an id, so that none is added in the superblock; but none with data of its own,
    # which may be anything.
    for known in one.ids:
        if known.kind == COMPRESSOR and not known.data:
            with contextlib.suppress(PluginError, ValueError, TypeError):
                return attrs.evolve(config, compressor=ids.compressor(known))
    return config


class _Repair:
    """Moves what is good, and empties the slots of what is not."""

    def __init__(self, pipeline: Pipeline, before: Superblock, done: Repaired) -> None:
        store = pipeline._store
        if not isinstance(store, DurableStore):
            raise TypeError("a pipeline that is not persistent can not be repaired")
        self._pipeline = pipeline
        self._store = store
        (self._home,) = store.space.members
        self._page_size = before.page_size
        self._names = {known.id: known.name for known in before.ids if known.kind == ENTRY_TYPE}
        self._done = done
        if store.opened != before.generation:
            raise beforehand.changed()

    def run(self, looks: Sequence[Look], stop: Callable[[], bool]) -> None:
        space = self._home.space
        stamps = {look.offset: space.stamp(look.offset) for look in looks}
        for look in looks:
            for seen in look.seen:
                if stop():
                    raise KeyboardInterrupt
                if seen.slots:
                    self._record(look, seen)
        self._pipeline.sync()
        for offset, stamp in stamps.items():
            if space.stamp(offset) != stamp:
                continue  # it became free, and was written again
            if space.live(offset):
                self._done.refused += 1
                continue
            space.spoilt(offset, space.block // self._page_size)
            self._store.void(offset)
            self._done.voided += 1
        self._home.device.flush()

    def _record(self, look: Look, seen: Seen) -> None:
        """What the record says is said again in another block, or the loss of it."""
        record, slots = seen.record, seen.slots
        if record.kind == KIND_TOMBSTONE:
            # Nobody writes blocks between these two: what was emptied gets its record anew.
            self._pipeline.store(slots[0], bytes(self._page_size))
            self._pipeline.invalidate(slots[0])
            return
        if seen.problem and not seen.rescued:
            for slot in slots:
                self._pipeline.invalidate(slot)
            self._done.lost += slots
            return
        try:
            pages = self._pages(look, seen)
        except (BlockError, CompressorError, CorruptBlock):
            return  # not provably lost, so it stays where it is
        if len(slots) == 1 << record.order:
            self._pipeline.store(slots[0], b"".join(pages))
        else:
            for slot, page in zip(slots, pages, strict=True):
                self._pipeline.store(slot, page)
        self._done.moved += len(slots)

    def _pages(self, look: Look, seen: Seen) -> list[bytes]:
        if seen.rescued:
            return self._rescued(look.offset, seen.record, seen.slots)
        return [self._pipeline.load(slot) for slot in seen.slots]

    def _rescued(self, offset: int, record: Record, slots: tuple[int, ...]) -> list[bytes]:
        """The pages of an object of which only the record in front of it is damaged."""
        block = memoryview(reserve(self._home.space.block))
        self._home.read_into(offset, block)
        body = record.place + RECORD_BYTES
        data = bytes(block[body : body + record.length])
        if record.kind == KIND_WORD:
            payload = int.from_bytes(data[:WORD_BYTES], "little")
            name = self._names[record.codec]
            types = self._pipeline._entries.types
            one = next(one for one in types if one and is_in_word(one) and one.name == name)
            return [page_of_word(one, record.slot, payload, self._page_size)]
        size = self._page_size
        pages = self._pipeline._codecs.decode(record.codec, data, size << record.order)
        at = [(slot - record.slot) * size for slot in slots]
        return [pages[one : one + size] for one in at]
