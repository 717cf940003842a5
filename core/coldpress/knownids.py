"""What the ids in a persistent device's records mean: kept in its superblock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coldpress.component import options
from coldpress.config.entries import claims_pages
from coldpress.durable import is_in_word
from coldpress.errors import ConfigError, PluginError, Problem
from coldpress.layout import MOST_IDS
from coldpress.registry import Registry
from coldpress.roles import Compressor, EntryType
from coldpress.superblock import COMPRESSOR, ENTRY_TYPE, KnownId
from coldpress.units import Percent
from coldpress.values import structure


class KnownIds:
    """The ids of compressors, and those of entry types whose words are written as they are.

    Attributes: `all`, for the superblock. An id means one thing for ever, once anything has it.
    `unusable`, by the ids of compressors, why there is none: of no harm, unless a slot needs it.

    Notes: not thread-safe.
    """

    def __init__(self, ids: Sequence[KnownId], registry: Registry) -> None:
        self.all = tuple(ids)
        self.unusable: dict[int, Problem] = {}
        self._registry = registry

    def compressors(self) -> dict[int, Compressor]:
        """Open compressors that decompress what has these ids, but for those that are unusable."""
        found = {}
        for one in self.all:
            if one.kind != COMPRESSOR:
                continue
            try:
                compressor = self.compressor(one)
                compressor.open()
            except Exception as error:  # what it has of a device may be anything, and so this
                text = f"the device holds pages that {one.name!r} compressed: {error}"
                self.unusable[one.id] = Problem("compressor", text)
            else:
                found[one.id] = compressor
        return found

    def compressor(self, one: KnownId) -> Compressor:
        """What decompresses what has this id; not open.

        Raises `PluginError`, `ValueError` or `TypeError` if there is none like it.
        """
        plugin = self._registry.find("compressor", one.name)
        if not issubclass(plugin, Compressor):
            raise PluginError(f"{one.name} is no compressor")
        return plugin.from_portable(_typed(plugin, one.options), one.data)

    def use(self, codec: int, compressor: Compressor) -> bool:
        """This open compressor has the id; whether that is new.

        Another that was to have it, but never came into use, is forgotten.
        """
        options, data = compressor.portable()
        new = KnownId(codec, COMPRESSOR, self._name_of(compressor), options, data)
        if new in self.all:
            return False
        others = [one for one in self.all if (one.id, one.kind) != (codec, COMPRESSOR)]
        self.all = (*others, new)
        return True

    def in_words(self) -> list[str]:
        """Names of the entry types that are there and have an id, for a pipeline's `entries`."""
        found: dict[type[EntryType], str] = {}
        for one in self.all:
            if one.kind == ENTRY_TYPE:
                with contextlib.suppress(PluginError):
                    plugin = self._registry.find("entry_type", one.name)
                    if issubclass(plugin, EntryType) and claims_pages(plugin):
                        found.setdefault(plugin, one.name)
        return [name for plugin, name in found.items() if is_in_word(plugin())]

    def entry_types(self, types: Iterable[EntryType]) -> dict[str, int]:
        """The ids of those of these types that need one, by name; new ones are added to `all`.

        Raises `ConfigError` if there is none left.
        """
        ids = {one.name: one.id for one in self.all if one.kind == ENTRY_TYPE}
        for entry in filter(is_in_word, types):
            if entry.name not in ids:
                ids[entry.name] = max(ids.values(), default=0) + 1
                if ids[entry.name] > MOST_IDS:
                    text = f"the device has no id left for what {entry.name!r} stores"
                    raise ConfigError([Problem("entries", text)])
                self.all = (*self.all, KnownId(ids[entry.name], ENTRY_TYPE, entry.name))
        return ids

    def _name_of(self, compressor: Compressor) -> str:
        """Its name, or "distribution:name" if more than one have that."""
        same = [one for one in self._registry.plugins("compressor") if one.name == compressor.name]
        own = [one.qualified for one in same if one.component is type(compressor)]
        return own[0] if len(same) > 1 and own else compressor.name


def _typed(plugin: type[Compressor], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a device has them, each of the type that a pipeline file would have to give it.

    Raises `ValueError`.
    """
    kinds = {one.name: float if one.type is Percent else one.type for one in options(plugin)}
    return {
        key: structure(value, kinds[key]) if key in kinds else value for key, value in given.items()
    }
