"""The checks of one table: which keys it has, their types, their validators.

The same code serves the top level, [writeback], [cache] and every plugin's options.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import attrs

from coldpress.component import Component, options
from coldpress.config.document import Path
from coldpress.config.report import Report
from coldpress.names import did_you_mean
from coldpress.values import default, describe, structure


@attrs.frozen
class Table:
    """A table to be checked.

    `schema` is the attrs class whose fields are its keys, `given` what was written in it, `path`
    where it is, `label` what messages call it ("" for the top level), `also` the keys that are
    checked elsewhere.
    """

    schema: type
    given: Mapping[str, Any]
    path: Path
    label: str
    also: Sequence[str] = ()

    @property
    def fields(self) -> list[attrs.Attribute[Any]]:
        return options(cast("type[Component]", self.schema))

    @property
    def known(self) -> list[str]:
        """All keys that may stand in it."""
        return [*self.also, *(field.name for field in self.fields)]

    def check(self, report: Report) -> dict[str, Any]:
        """The values of the schema's keys, defaults filled in.

        What is unknown, missing, of the wrong type or refused by its validator is reported, each
        key by itself, and left out.
        """
        self._check_unknown(report)
        values: dict[str, Any] = {}
        for field in self.fields:
            key = field.name
            if key in self.given:
                try:
                    values[key] = structure(self.given[key], field.type)
                except ValueError as error:
                    report.add(f"{self._subject(key)}: {error}", (*self.path, key))
            elif (value := default(field)) is attrs.NOTHING:
                report.add(f"missing key {self._subject(key)}", (*self.path, key))
            else:
                values[key] = value
        self._validate(values, report)
        return values

    def _check_unknown(self, report: Report) -> None:
        known = self.known
        for key, value in self.given.items():
            if key not in known:
                what = "table" if isinstance(value, Mapping) else "key"
                hint = did_you_mean(key, known)
                hint = f"{hint}?" if hint else f" known: {', '.join(known)}"
                report.add(f"unknown {what} {self._subject(key)};{hint}", (*self.path, key))

    def _validate(self, values: dict[str, Any], report: Report) -> None:
        # A validator may look at other fields of its instance, so it is given one; it has only
        # the fields whose values are of the right type.
        # A role's own class stands in for a plugin that is not there, and can have no instance.
        abstract = inspect.isabstract(self.schema)
        probe: Any = SimpleNamespace() if abstract else object.__new__(self.schema)
        for field in self.fields:
            if field.name in values:
                object.__setattr__(probe, field.name, values[field.name])
        for field in self.fields:
            key = field.name
            if key in values and field.validator is not None:
                try:
                    field.validator(probe, field, values[key])
                except Exception as error:  # a plugin's code may raise anything
                    text = _clean(error, field.name, values[key])
                    report.add(f"{self._subject(key)}: {text}", (*self.path, key))
                    del values[key]

    def _subject(self, key: str) -> str:
        return f"{key!r} in {self.label}" if self.label else repr(key)


def _clean(error: Exception, name: str, value: Any) -> str:
    """A validator's message, fit for people who know nothing of attrs.

    attrs' own validators say "'level' must be <= 22: 99" or "'level' must be in (1, 2) (got 3)",
    add the attribute and more as further arguments, and show other validators as `<...>`.
    """
    own = len(error.args) > 1 and isinstance(error.args[1], attrs.Attribute)
    text = str(error.args[0]) if own else str(error)
    if isinstance(error, TypeError) or re.search(r"<[\w.]+ (?:validator|for) ", text):
        return f"{describe(value)} is not possible"
    text = text.removeprefix(f"{name!r} ")
    text = re.sub(r" \(got (.*)\)\.?$", r", got \1", text)
    if text.endswith(f": {value}"):
        text = f"{text.removesuffix(f': {value}')}, got {describe(value)}"
    return " ".join(text.splitlines()) or type(error).__name__
