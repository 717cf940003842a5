"""Which plugins are let in: what the command line and the environment say.

Only these two can name a module to import. A pipeline file can not: it names plugins, and those
that are not loaded already are an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs

from coldpress.hookspecs import GROUP
from coldpress.names import did_you_mean, normal

ONLY = "COLDPRESS_PLUGINS"
"""The variable that lists the entry points or distributions to load; set but empty: none."""

DISABLE = "COLDPRESS_DISABLE"
"""The variable that lists the entry points, distributions or modules to leave out."""

BUILT_IN = GROUP
"""The distribution of the built-in plugins, which `ONLY` need not name."""


@attrs.frozen
class Selection:
    """What to load.

    `modules` are imported as plugins, beside the entry points. `only` restricts the entry points
    to these names, None to nothing. `left_out` maps a name to what said that it be left out.
    """

    modules: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    left_out: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, environ: Mapping[str, str], options: Sequence[str] = ()) -> Selection:
        """What the environment says, and the command line's `-p`: "MODULE" or "no:NAME" each."""
        left_out = dict.fromkeys(_split(environ.get(DISABLE, "")), DISABLE)
        modules = []
        for option in options:
            if option.startswith("no:"):
                left_out[option.removeprefix("no:")] = f"-p {option}"
            else:
                modules.append(option)
        only = environ.get(ONLY)
        return cls(tuple(modules), None if only is None else tuple(_split(only)), left_out)

    def refuses(self, entry: str, distribution: str) -> str | None:
        """Why this entry point must not even be imported; None if it may."""
        names = {normal(entry), normal(distribution)}
        if who := self._who_left_out(names):
            return f"left out by {who}"
        if self.only is None or normal(distribution) == BUILT_IN:
            return None
        if names.isdisjoint(map(normal, self.only)):
            return f"left out, since {ONLY} does not name it"
        return None

    def wanted_modules(self) -> list[str]:
        """The modules that are not left out."""
        return [one for one in self.modules if not self._who_left_out({normal(one)})]

    def unknown(self, known: Collection[str]) -> Iterator[str]:
        """A warning for each name that is none of `known`, what could be loaded."""
        there = {normal(one) for one in known}
        said = [*((name, ONLY) for name in self.only or ()), *self.left_out.items()]
        for name, who in said:
            if normal(name) not in there:
                hint = did_you_mean(normal(name), sorted(there), most=3)
                hint = f"{hint}?" if hint else f" there are: {', '.join(sorted(there))}"
                yield f"{who}: no plugin is called {name!r};{hint}"

    def _who_left_out(self, names: set[str]) -> str | None:
        return next((who for name, who in self.left_out.items() if normal(name) in names), None)


def _split(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
