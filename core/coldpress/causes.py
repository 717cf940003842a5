"""Why a plugin is not there, by every name that it may be asked for."""

from __future__ import annotations

import contextlib
import importlib.metadata

import attrs

from coldpress.names import normal


@attrs.frozen
class Source:
    """Where a plugin came from: its entry point, or the module that the command line named."""

    entry: str
    distribution: str
    version: str

    @classmethod
    def of(cls, entry: importlib.metadata.EntryPoint) -> Source:
        """The entry point's; "?" for what its distribution does not tell."""
        name = version = None
        # Half of a distribution may be left behind by who removed or replaced it.
        with contextlib.suppress(Exception):
            if entry.dist:
                name, version = entry.dist.name, entry.dist.version
        return cls(entry.name, name or "?", version or "?")

    def __str__(self) -> str:
        return f"plugin {self.entry!r} of {self.distribution} {self.version}"


@attrs.frozen
class Cause:
    """Why something is not there: a whole plugin, what it has for one role, or a class of it."""

    source: Source
    text: str
    role: str | None
    name: str | None  # the class's; None if it is not known

    def answers(self, role: str | None, name: str) -> bool:
        """Whether who asks for `name` in this role may have meant what is not there."""
        if role is not None and self.role not in (None, role):
            return False
        distribution, colon, plain = name.rpartition(":")
        if colon and normal(distribution) == normal(self.source.distribution):
            return self.name in (None, plain)
        known = {normal(self.source.entry), normal(self.source.distribution)}
        return not colon and (plain == self.name or normal(plain) in known)
