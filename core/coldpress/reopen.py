"""The entries of a pipeline whose device is persistent, as the device has them."""

from __future__ import annotations

from coldpress.codecs import Codecs
from coldpress.config import PipelineConfig
from coldpress.durable import DurableEntries, is_in_word
from coldpress.durablestore import DurableStore
from coldpress.errors import ConfigError, Problem
from coldpress.layout import seal_bytes
from coldpress.origins import Origins
from coldpress.recovery import Recovery
from coldpress.scan import Progress
from coldpress.superblock import COMPRESSOR, ENTRY_TYPE
from coldpress.words import Order


def reopen(
    store: DurableStore,
    config: PipelineConfig,
    codecs: Codecs,
    cache_order: Order,
    progress: Progress | None,
) -> DurableEntries:
    """Read the device, and from then on write with a new epoch.

    Raises `DeviceError`, `ConfigError`. Whatever it raises, nothing on the device that counts has
    changed.
    """
    ids = store.ids.entry_types(config.entry_types)
    entries = DurableEntries(
        config.slots,
        config.entry_types,
        config.policy,
        cache_order,
        store.next_sequence,
        ids,
        seal_bytes(config.device.encrypt),
    )
    if store.ids.unusable or sum(one.kind == COMPRESSOR for one in store.ids.all) > 1:
        entries.origins = Origins(config.slots, on_device=True)
    # Of those types alone whose word says all: another's would mean something in RAM.
    tags = {one.name: tag for tag, one in enumerate(entries.types) if one and is_in_word(one)}
    names = {one.id: one.name for one in store.ids.all if one.kind == ENTRY_TYPE}

    def tag_of(word: int) -> int:
        """Raises `ConfigError` if the pipeline has no type whose words have this id."""
        name = names.get(word, str(word))
        if name not in tags:
            text = f"the device holds pages of an entry type that 'entries' does not name: {name}"
            raise ConfigError([Problem("entries", text)])
        return tags[name]

    recovery = Recovery(store, entries, config.page_size, tag_of, progress)
    recovery.run()
    codec, _ = codecs.current
    store.ids.use(codec, config.compressor)
    store.reopened(recovery.scan.sequence, recovery.scan.epoch)
    return entries
