from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import fake_plugins
import pytest
from fake_plugins import ZLIB, Lz4, Zstd, concrete, install, plugin

import coldpress
from coldpress import PluginError
from coldpress.registry import Registry, default_registry, using
from coldpress.roles import ROLES


def hooked(function: Any, name: str = "coldpress_compressors") -> ModuleType:
    """A plugin whose hook is `function`, registered besides a compressor in its own right."""
    module = plugin("broken", policy=[concrete(coldpress.Policy, "survivor")])
    function.__name__ = name
    setattr(module, name, coldpress.hookimpl(function))
    return module


def returning(*classes: Any) -> ModuleType:
    return hooked(lambda: list(classes))


def fail(error: BaseException) -> Any:
    raise error


class Undecorated(Lz4):
    name = "undecorated"
    level: int = coldpress.option(default=1, help="")


class Mixin:
    level: int = coldpress.option(default=1, help="")


@attrs.define(slots=False, eq=False, kw_only=True)
class Mixed(Mixin, Lz4):
    name = "mixed"


@attrs.define(slots=False, eq=False, kw_only=True)
class Unannotated(Lz4):
    name = "unannotated"
    level = coldpress.option(default=1, help="")


def test_plugins_are_listed_by_role_and_name() -> None:
    registry = Registry(
        [(plugin(policy=[concrete(coldpress.Policy, "lru")], compressor=[Zstd, Lz4]), "d", "1.0")]
    )
    assert [(one.role, one.name) for one in registry.plugins()] == [
        ("compressor", "lz4"),
        ("compressor", "zstd"),
        ("policy", "lru"),
    ]
    lz4, zstd = registry.plugins("compressor")
    assert (zstd.component, zstd.distribution, zstd.version) == (Zstd, "d", "1.0")
    assert lz4.qualified == "d:lz4"
    assert registry.plugins("device") == []
    assert registry.warnings == []


def test_a_plugin_is_found_by_name_and_role() -> None:
    registry = fake_plugins.registry()
    assert registry.find("compressor", "zstd") is Zstd
    assert registry.find("compressor", "coldpress:zstd") is Zstd
    with pytest.raises(PluginError, match="unknown allocator 'zstd'"):
        registry.find("allocator", "zstd")


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        (
            "compressor",
            "zsdt",
            "unknown compressor 'zsdt'; did you mean 'zstd'? installed: brotli, lz4, none, zstd",
        ),
        ("compressor", "snappy", "unknown compressor 'snappy'; installed: brotli, lz4, none, zstd"),
        ("compressor", "acme:zstd", None),
        ("compressor", "", "unknown compressor ''; installed: brotli, lz4, none, zstd"),
        ("frontend", "nbd", "unknown frontend 'nbd'; no frontend is installed"),
        (
            "entry_type",
            "x",
            "unknown entry type 'x'; installed: filled, folio, packed, raw, shadow, zswap",
        ),
    ],
)
def test_an_unknown_name_lists_the_choices(role: str, name: str, message: str | None) -> None:
    with pytest.raises(PluginError) as caught:
        fake_plugins.registry().find(role, name)
    assert message is None or str(caught.value) == message
    assert str(caught.value).startswith("unknown ")


def test_an_unknown_name_points_to_broken_plugins() -> None:
    registry = Registry([(returning(7), "acme", "1.0")])
    with pytest.raises(PluginError, match="`coldpress plugins` tells which plugins are broken"):
        registry.find("compressor", "seven")


def test_asking_for_a_broken_plugin_repeats_the_cause() -> None:
    half = attrs.define(type("Half", (coldpress.Compressor,), {"name": "half"}))
    registry = fake_plugins.registry(
        (returning(half), "acme", "1.0"),
        (hooked(lambda: fail(ImportError("no libfast"))), "acme-fast", "2.1"),
    )
    here = "installed: brotli, lz4, none, zstd"
    cause = (
        "plugin 'broken' of acme 1.0: coldpress_compressors returned Half, which is left out: it "
        "does not implement compress, decompress"
    )
    for name in ("half", "acme:half", "acme"):
        assert (
            refusal(registry, "compressor", name) == f"unknown compressor {name!r}; {cause}; {here}"
        )
    hook = "plugin 'broken' of acme-fast 2.1: coldpress_compressors failed: ImportError: no libfast"
    for name in ("acme_fast", "Acme-Fast:whatever"):
        assert (
            refusal(registry, "compressor", name) == f"unknown compressor {name!r}; {hook}; {here}"
        )
    assert refusal(registry, "compressor", "broken") == (
        f"unknown compressor 'broken'; {cause}; {hook}; {here}"
    )
    for role, name in (("policy", "half"), ("compressor", "acme:other"), ("compressor", "x:half")):
        assert "broken'" not in refusal(registry, role, name)


@pytest.mark.parametrize(
    ("role", "name", "distribution"),
    [
        ("compressor", "isal", "coldpress-isal"),
        ("compressor", "coldpress-isal:isal", "coldpress-isal"),
        ("device", "fsspec", "coldpress-fsspec"),
        ("entry_type", "dedup", "coldpress-dedup"),
        ("policy", "arc", "coldpress-arc"),
        ("policy", "isal", None),
    ],
)
def test_a_known_plugin_that_is_missing_names_what_brings_it(
    role: str, name: str, distribution: str | None
) -> None:
    message = refusal(fake_plugins.registry(), role, name)
    if distribution is None:
        assert "pip" not in message
    else:
        assert message.endswith(f"; pip install {distribution} brings it")


def test_a_known_plugin_that_is_broken_is_not_to_be_installed_again() -> None:
    registry = fake_plugins.registry((returning(7), "coldpress_isal", "0.1"))
    message = refusal(registry, "compressor", "isal")
    assert "plugin 'broken' of coldpress_isal 0.1: coldpress_compressors returned 7" in message
    assert "pip" not in message


def refusal(registry: Registry, role: str, name: str) -> str:
    with pytest.raises(PluginError) as caught:
        registry.find(role, name)
    return str(caught.value)


def test_two_plugins_of_one_name_are_told_apart_by_distribution() -> None:
    other = concrete(coldpress.Compressor, "zstd")
    registry = fake_plugins.registry((plugin("acme", compressor=[other]), "Acme_Fast", "2.1"))
    assert [one.qualified for one in registry.plugins("compressor") if one.name == "zstd"] == [
        "Acme_Fast:zstd",
        "coldpress:zstd",
    ]
    with pytest.raises(PluginError) as caught:
        registry.find("compressor", "zstd")
    assert str(caught.value) == (
        "compressor 'zstd' is ambiguous: Acme_Fast:zstd (version 2.1), "
        'coldpress:zstd (version 0.1.0); use = "Acme_Fast:zstd" picks the first of them'
    )
    assert registry.find("compressor", "coldpress:zstd") is Zstd
    assert registry.find("compressor", "Acme_Fast:zstd") is other
    assert registry.find("compressor", "acme-fast:zstd") is other  # the name as pip writes it
    assert registry.warnings == []


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        (hooked(lambda config: []), "left out: PluginValidationError: .*Argument.*config"),
        (
            hooked(lambda: fail(ImportError("no libfast"))),
            "coldpress_compressors failed: ImportError: no libfast",
        ),
        (hooked(lambda: fail(SystemExit(3))), "coldpress_compressors failed: SystemExit: 3"),
        (hooked(lambda: "zstd"), "coldpress_compressors returned 'zstd', not a list of classes"),
        (hooked(lambda: None), "coldpress_compressors returned none, not a list of classes"),
        (hooked(lambda: (yield)), "returned <generator .*, not a list of classes"),
        (
            hooked(lambda: [Zstd], name="coldpress_compresors"),
            "unknown hook 'coldpress_compresors'; did you mean 'coldpress_compressors'$",
        ),
        (returning(7), "returned 7, which is left out: it is no subclass of coldpress.Compressor"),
        (
            returning(concrete(coldpress.Policy, "lru")),
            "Fakelru, which is left out: it is no subclass of coldpress.Compressor",
        ),
        (returning(Zstd()), "it is no subclass of coldpress.Compressor"),
        (returning(concrete(coldpress.Compressor, None)), "its name is None, not a word"),
        (returning(concrete(coldpress.Compressor, "a:b")), "its name is 'a:b', not a word"),
        (returning(concrete(coldpress.Compressor, "")), "its name is '', not a word"),
        (returning(coldpress.Compressor), "its name is None, not a word"),
        (
            returning(attrs.define(type("Half", (coldpress.Compressor,), {"name": "half"}))),
            "Half, which is left out: it does not implement compress, decompress",
        ),
        (returning(Undecorated), "it has options, but is not decorated with attrs.define"),
        (
            returning(
                concrete(
                    coldpress.Compressor,
                    "odd",
                    window=(list[int], coldpress.option(default=(), help="")),
                )
            ),
            r"TypeError: list\[int\] is no type that a pipeline file can give",
        ),
        (
            returning(
                concrete(coldpress.Compressor, "odd", x=("Nowhere", coldpress.option(help="")))
            ),
            "NameError: name 'Nowhere' is not defined",
        ),
        (
            returning(concrete(coldpress.Compressor, "odd", use=(int, coldpress.option(help="")))),
            "an option can not be called 'use'",
        ),
        (
            returning(concrete(coldpress.Compressor, "odd", _x=(int, coldpress.option(help="")))),
            "an option can not be called '_x'",
        ),
        (
            returning(
                concrete(
                    coldpress.Compressor, "odd", x=(int, coldpress.option(default="1", help=""))
                )
            ),
            "option 'x': ValueError: expected an integer, got '1'",
        ),
        (
            returning(
                concrete(
                    coldpress.Compressor,
                    "odd",
                    x=(coldpress.Size, coldpress.option(default="4KiB", help="")),
                )
            ),
            "option 'x': TypeError: ",
        ),
        (returning(Mixed), "its base Mixin has options, but is not decorated with attrs.define"),
        (returning(Unannotated), "option 'level': TypeError: None is no type that a pipeline"),
        (returning(Zstd, Zstd), "this distribution already has a compressor 'zstd'"),
    ],
)
def test_a_broken_plugin_is_a_warning_and_the_rest_works(module: ModuleType, cause: str) -> None:
    registry = fake_plugins.registry((module, "acme-fast", "2.1"))
    assert len(registry.warnings) == 1
    (warning,) = registry.warnings
    assert warning.startswith("plugin 'broken' of acme-fast 2.1: ")
    assert re.search(cause, warning)
    assert "\n" not in warning
    assert registry.find("compressor", "coldpress:zstd") is Zstd
    names = [one.name for one in registry.plugins("policy")]
    assert names == ["fifo", "lru", *(() if "Validation" in cause else ("survivor",))]


def test_an_entry_type_has_no_table_so_its_options_need_defaults() -> None:
    needy = concrete(coldpress.EntryType, "needy", x=(int, coldpress.option(help="")))
    easy = concrete(coldpress.EntryType, "easy", x=(int, coldpress.option(default=1, help="")))
    registry = Registry([(plugin(entry_type=[needy, easy]), "acme", "1")])
    assert [one.name for one in registry.plugins()] == ["easy"]
    assert "option 'x' of an entry type needs a default" in registry.warnings[0]


def test_a_module_without_hooks_is_a_warning() -> None:
    module = ModuleType("bare")
    module.coldpress_compressors = lambda: [Zstd]  # type: ignore[attr-defined]
    registry = Registry([(module, "acme", "1")])
    assert registry.warnings == [
        "plugin 'bare' of acme 1: implements no hook: is @coldpress.hookimpl missing?"
    ]


def test_a_plugin_may_be_an_object() -> None:
    class Plugin:
        @coldpress.hookimpl
        def coldpress_compressors(self) -> list[type[coldpress.Compressor]]:
            return [Zstd]

    registry = Registry([(Plugin(), "acme", "1")])
    assert registry.find("compressor", "zstd") is Zstd


def test_installed_plugins_are_loaded_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "acme_one", "1.0", {"one": "acme_one"}, "import nowhere_to_be_found")
    install(tmp_path, "acme_two", "2.0", {"two": "acme_two"}, "raise SystemExit('no license')")
    install(tmp_path, "acme_zlib", "3.0", {"good": "acme_zlib"}, ZLIB)
    registry = Registry.load()
    ours = sorted(warning for warning in registry.warnings if "acme" in warning)
    assert ours == [
        "plugin 'one' of acme_one 1.0: can not be imported: "
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        "plugin 'two' of acme_two 2.0: can not be imported: SystemExit: no license",
    ]
    for name, warning in (("one", ours[0]), ("acme-two", ours[1])):
        assert refusal(registry, "compressor", name).startswith(
            f"unknown compressor {name!r}; {warning}; installed: "
        )
    (zlib,) = (one for one in registry.plugins("compressor") if one.name == "zlib")
    assert (zlib.distribution, zlib.version) == ("acme_zlib", "3.0")
    page = bytes(4096)
    compressor: Any = registry.find("compressor", "zlib")(level=1)  # type: ignore[call-arg]
    assert compressor.decompress(compressor.compress(page), 4096) == page
    assert registry.find("policy", "lru").name == "lru"


def test_entry_points_that_lead_nowhere_are_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "acme_half", "1.0", {"half": "acme_half"}, "import nowhere_to_be_found")
    (tmp_path / "acme_half-1.0.dist-info" / "METADATA").unlink()
    install(tmp_path, "acme_none", "2.0", {"none": "acme_none"})
    points = tmp_path / "acme_none-2.0.dist-info" / "entry_points.txt"
    points.write_text("[coldpress]\nlost = acme_none:lost\ngarbage = not a module!\n")
    registry = Registry.load()
    lost, garbage, half = (
        next(one for one in registry.warnings if one.startswith(f"plugin {name!r} of "))
        for name in ("lost", "garbage", "half")
    )
    assert lost.startswith("plugin 'lost' of acme_none 2.0: can not be imported: AttributeError: ")
    assert garbage.startswith("plugin 'garbage' of acme_none 2.0: can not be imported: ")
    assert half.startswith("plugin 'half' of ? ?: can not be imported: ModuleNotFoundError: ")
    assert registry.find("policy", "lru").name == "lru"


def test_the_built_in_plugins_are_all_there() -> None:
    registry = Registry.load()
    assert [one for one in registry.warnings if " of coldpress " in one] == []
    version = importlib.metadata.version("coldpress")
    built_in = [one for one in registry.plugins() if one.distribution == "coldpress"]
    assert {one.version for one in built_in} == {version}
    names = {role: {one.name for one in built_in if one.role == role} for role in ROLES}
    assert names["compressor"] >= {"lz4", "zstd", "brotli", "none"}
    assert names["allocator"] >= {"zsmalloc", "zbud"}
    assert names["entry_type"] >= {"filled", "zswap", "raw", "packed", "shadow", "folio"}
    assert names["policy"] >= {"lru", "clock", "fifo"}
    assert names["packer"] >= {"bounce"}
    assert names["device"] >= {"memory", "file", "nvme"}


def test_the_default_registry_is_made_once() -> None:
    assert default_registry() is default_registry()


def test_another_registry_is_the_default_one_for_a_while() -> None:
    before, inner = default_registry(), Registry()
    with pytest.raises(KeyError), using(inner):
        assert default_registry() is inner
        raise KeyError
    assert default_registry() is before
