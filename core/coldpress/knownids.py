"""What the ids in a persistent device's records mean: kept in its superblock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coldpress.component import options
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

    Notes: not thread-safe.
    """

    def __init__(self, ids: Sequence[KnownId], registry: Registry) -> None:
        self.all = tuple(ids)
        self._registry = registry

    def compressors(self) -> dict[int, Compressor]:
        """Compressors that decompress what has these ids; not open. Raises `ConfigError`."""
        found = {}
        problems = []
        for one in self.all:
            if one.kind != COMPRESSOR:
                continue
            try:
                plugin = self._registry.find("compressor", one.name)
                if not issubclass(plugin, Compressor):
                    raise PluginError(f"{one.name} is no compressor")
                found[one.id] = plugin.from_portable(_typed(plugin, one.options), one.data)
            except (PluginError, ValueError, TypeError) as error:
                text = f"the device holds pages that {one.name!r} compressed: {error}"
                problems.append(Problem("compressor", text))
        if problems:
            raise ConfigError(problems)
        return found

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
