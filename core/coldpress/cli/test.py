"""`coldpress test`: does an installed plugin keep its role's promises."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import attrs

from coldpress.config.report import assigned
from coldpress.errors import PluginError
from coldpress.harness.errors import InputError
from coldpress.registry import PluginInfo, Registry, default_registry
from coldpress.roles import ROLES

if TYPE_CHECKING:
    from coldpress.testing.kit import Kit
    from coldpress.testing.running import Check

_DESCRIPTION = """\
Run the conformance kit over an installed plugin: every promise of its role, then a whole pipeline
that is made with it, under random histories and under threads. It is what an author's own tests
run through coldpress.testing. It needs pytest and hypothesis: pip install 'coldpress[testing]'."""

_EPILOG = """\
examples:
  coldpress test zstd
  coldpress test zstd --set level=9
  coldpress test coldpress-isal:isal --json
  coldpress test policy:s3fifo           of this role alone
  coldpress -p my_module test mine       a plugin that no distribution brings yet

A text in --set may hold {scratch}, the name of a folder that is empty at the beginning.

exit status: 0 it conforms, 1 it does not, 2 there is no such plugin or option"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "test",
        help="prove that an installed plugin keeps its role's promises",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", metavar="NAME", help="a plugin's name, or distribution:name, or role:name"
    )
    parser.add_argument(
        "--set",
        dest="options",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the plugin, as in a pipeline file (may be repeated)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `InputError`, `ConfigError`."""
    found = _find(default_registry(), args.name)
    options = assigned(args.options)
    for plugin in found:  # what is wrong with the call is said before anything runs
        _check_options(plugin, options)
    results = [(plugin, _checks(plugin, options, quiet=args.json)) for plugin in found]
    conforms = all(check.outcome != "failed" for _, checks in results for check in checks)
    if args.json:
        plugins = [_asdict(plugin, checks) for plugin, checks in results]
        print(json.dumps({"ok": conforms, "plugins": plugins}, indent=2))
    return 0 if conforms else 1


def _find(registry: Registry, name: str) -> list[PluginInfo]:
    role, _, plain = name.partition(":")
    try:
        if role in ROLES and plain:
            registry.find(role, plain)
            return [one for one in registry.plugins(role) if one.is_called(plain)]
        return registry.called(name)
    except PluginError as error:
        raise InputError(str(error)) from error


def _check_options(plugin: PluginInfo, options: dict[str, Any]) -> None:
    try:
        from coldpress.testing.kit import built, options_in
    except ImportError as error:
        raise InputError(str(error)) from error
    given = options_in(Path(), plugin.component, options)
    built(plugin.role, plugin.component, given)


def _kit(plugin: PluginInfo, options: dict[str, Any]) -> type[Kit]:
    from coldpress import testing

    base = getattr(testing, testing.KITS[plugin.role])
    kit: type[Kit] = type("TestPlugin", (base,), {"plugin": plugin.component, "options": options})
    return kit


def _checks(plugin: PluginInfo, options: dict[str, Any], *, quiet: bool) -> list[Check]:
    from coldpress.testing.running import run as run_kit

    kit = partial(_kit, plugin, options)
    if quiet:
        return run_kit(kit)
    print(f"{plugin.role} {plugin.name}, of {plugin.distribution} {plugin.version}", flush=True)
    checks = run_kit(kit, tell=partial(_tell, sys.stdout))
    failed = sum(check.outcome == "failed" for check in checks)
    skipped = sum(check.outcome == "skipped" for check in checks)
    passed = len(checks) - failed - skipped
    print(f"{passed} checks passed, {failed} failed, {skipped} were skipped")
    return checks


def _tell(out: TextIO, check: Check) -> None:
    word = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}[check.outcome]
    print(f"  {word:8}{check.name}", *_indented(check.why), sep="\n", file=out, flush=True)


def _indented(text: str) -> Iterator[str]:
    return (f"          {line}" for line in text.splitlines())


def _asdict(plugin: PluginInfo, checks: list[Check]) -> dict[str, Any]:
    return {
        "role": plugin.role,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "checks": [attrs.asdict(check) for check in checks],
    }
