"""Plugins that can be built but do nothing, for tests of what happens before opening."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import coldpress
from coldpress import ConfigError
from coldpress.config import PipelineConfig, load_config
from coldpress.hookspecs import HOOKS
from coldpress.registry import Registry


def concrete(base: type, name: str | None, **options: tuple[Any, Any]) -> Any:
    """A subclass of a role's class with stubs for all that is abstract, and these options.

    Each option is (annotation, what `coldpress.option` gives).
    """
    body: dict[str, Any] = {one: lambda self, *args: None for one in base.__abstractmethods__}
    body |= {key: field for key, (_, field) in options.items()}
    body["__annotations__"] = {key: kind for key, (kind, _) in options.items()}
    body["__doc__"] = f"The {name} of the tests.\n\n    And more of it."
    if name is not None:
        body["name"] = name
    cls = type(f"Fake{name}", (base,), body)
    return attrs.define(slots=False, eq=False, kw_only=True)(cls)


def plugin(name: str = "fakes", **classes: list[Any]) -> ModuleType:
    """A plugin module that registers these classes: `plugin(compressor=[Zstd])`."""
    module = ModuleType(name)
    for role, found in classes.items():

        def hook(found: list[Any] = found) -> list[Any]:
            return found

        hook.__name__ = HOOKS[role]
        setattr(module, HOOKS[role], coldpress.hookimpl(hook))
    return module


def claimer(name: str) -> Any:
    """An entry type that claims pages."""
    fake = concrete(coldpress.EntryType, name)
    fake.prepare = lambda self, page: bytes(page)
    fake.takes_all = name == "raw"
    return fake


def packer(name: str) -> Any:
    """A packer whose blocks have room for one page and something more."""
    fake = concrete(coldpress.Packer, name)
    fake.fits = lambda self, length, page_size: length < self.block
    return fake


def install(site: Path, name: str, version: str, entries: dict[str, str], code: str = "") -> None:
    """Make a distribution that importlib.metadata finds in the folder `site`.

    `entries` maps the names of entry points to modules, each of which has this code.
    """
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{entry} = {target}" for entry, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[coldpress]", *lines, ""]))
    for target in entries.values():
        (site / f"{target}.py").write_text(code)


ZLIB = """\
from __future__ import annotations
import zlib
import attrs
import coldpress

@attrs.define(slots=False, eq=False, kw_only=True)
class Zlib(coldpress.Compressor):
    name = "zlib"
    level: int = coldpress.option(default=6, help="1 (fast) to 9 (dense)")

    def compress(self, page):
        return zlib.compress(page, self.level)

    def decompress(self, data, size):
        return zlib.decompress(data, bufsize=size)

@coldpress.hookimpl
def coldpress_compressors():
    return [Zlib]
"""


def _level(lowest: int, highest: int) -> Any:
    within = attrs.validators.and_(attrs.validators.ge(lowest), attrs.validators.le(highest))
    return int, coldpress.option(default=1, help="how hard", validator=within)


def _path(**default: Any) -> Any:
    return str | None if default else str, coldpress.option(help="where", **default)


Zstd = concrete(
    coldpress.Compressor,
    "zstd",
    level=_level(1, 22),
    dictionary=(str | None, coldpress.option(default=None, help="a trained dictionary")),
)
Lz4 = concrete(coldpress.Compressor, "lz4", acceleration=_level(1, 65537))
Brotli = concrete(coldpress.Compressor, "brotli", level=_level(0, 11))
NoCompression = concrete(coldpress.Compressor, "none")
FileDevice = concrete(coldpress.Device, "file", path=_path(default=None))
NvmeDevice = concrete(coldpress.Device, "nvme", path=_path())

CLASSES: dict[str, list[Any]] = {
    "compressor": [Zstd, Lz4, Brotli, NoCompression],
    "allocator": [concrete(coldpress.Allocator, "zsmalloc")],
    "entry_type": [
        claimer("filled"),
        claimer("zswap"),
        claimer("raw"),
        concrete(coldpress.DeviceEntryType, "packed"),
        concrete(coldpress.ShadowEntryType, "shadow"),
        concrete(coldpress.CacheEntryType, "folio"),
    ],
    "policy": [concrete(coldpress.Policy, "lru"), concrete(coldpress.Policy, "fifo")],
    "packer": [packer("bounce")],
    "device": [FileDevice, NvmeDevice],
}


def registry(*more: tuple[object, str, str]) -> Registry:
    """One plugin for each name that a pipeline needs, and what is given besides."""
    return Registry([(plugin(**CLASSES), "coldpress", "0.1.0"), *more])


def load(source: Any = None, *overrides: str, registry: Registry | None = None) -> PipelineConfig:
    """The configuration, as composed from these plugins."""
    return load_config(source, overrides=overrides, registry=registry or _REGISTRY)


def problems(source: Any = None, *overrides: str, registry: Registry | None = None) -> list[str]:
    """What is wrong with a configuration, as users see it."""
    with pytest.raises(ConfigError) as caught:
        load(source, *overrides, registry=registry)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


def write(text: str) -> Path:
    """Write `pipeline.toml` in the working directory; messages then have that short name."""
    path = Path("pipeline.toml")
    path.write_bytes(text.encode())
    return path


_REGISTRY = registry()
