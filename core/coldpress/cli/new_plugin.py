"""`coldpress new-plugin`: a package that an author begins with."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from coldpress.cli.output import say
from coldpress.harness.errors import InputError
from coldpress.names import did_you_mean
from coldpress.newplugin import NewPlugin
from coldpress.registry import PluginInfo, default_registry
from coldpress.roles import ROLES

_DESCRIPTION = """\
Write the package of a new plugin: metadata with the entry point, a module with a small plugin that
works, tests on the conformance kit, a pipeline file that uses it, tox.ini and README. It can be
installed and passes at once; what it does is yours to change. DIR must not exist or be empty; it is
the package's name if it is not given."""

_EPILOG = f"""\
roles: {", ".join(ROLES)}

examples:
  coldpress new-plugin compressor snappy
  pip install ./coldpress-snappy
  coldpress test snappy
  coldpress run coldpress-snappy/pipeline.toml --input FILE

exit status: 0 it was written, 1 it could not be written, 2 the call is wrong"""


def add(subparsers: Any) -> None:
    """Add the command to the parser of `coldpress`."""
    parser = subparsers.add_parser(
        "new-plugin",
        help="write the package of a new plugin",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("role", metavar="ROLE", help="what the plugin is to be")
    parser.add_argument("name", metavar="NAME", help="what pipeline files are to call it")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="where to write it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; the exit status. Raises `InputError`, `OSError`."""
    plugin, others = _plugin(args.role, args.name)
    folder = Path(args.folder or plugin.distribution)
    _check_free(folder)
    if others:
        who = ", ".join(f"{one.distribution} {one.version}" for one in others)
        say(
            f"coldpress: warning: {who} has a {args.role} {args.name!r} already; "
            f"pipeline files have to say {plugin.use!r}"
        )
    written = [_write(folder / name, text) for name, text in plugin.files().items()]
    commands = _next(plugin, folder)
    if args.json:
        print(_json(plugin, folder, written, commands))
    else:
        print(*written, "", "next:", *(f"  {command}" for command in commands), sep="\n")
    return 0


def _plugin(role: str, name: str) -> tuple[NewPlugin, list[PluginInfo]]:
    """The plugin to be made, and those that have its name already."""
    if role not in ROLES:
        hint = did_you_mean(role.replace("-", "_"), ROLES)
        raise InputError(f"unknown role {role!r};{hint and hint + '?'} roles: {', '.join(ROLES)}")
    others = [one for one in default_registry().plugins(role) if one.name == name]
    try:
        return NewPlugin(role, name, taken=bool(others)), others
    except ValueError as error:
        raise InputError(str(error)) from error


def _check_free(folder: Path) -> None:
    try:
        free = not any(folder.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InputError(f"{folder}: it is a file") from None
    if not free:
        raise InputError(f"{folder}: the folder is not empty")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _next(plugin: NewPlugin, folder: Path) -> list[str]:
    place = str(folder) if folder.is_absolute() else f"./{folder}"
    return [
        shlex.join(["pip", "install", place]),
        shlex.join(["coldpress", "test", plugin.use]),
        shlex.join(["coldpress", "check", str(folder / "pipeline.toml")]),
    ]


def _json(plugin: NewPlugin, folder: Path, written: list[Path], commands: list[str]) -> str:
    told = {
        "role": plugin.role,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "module": plugin.module,
        "class": plugin.class_name,
        "use": plugin.use,
        "folder": str(folder),
        "files": [str(path) for path in written],
        "next": commands,
    }
    return json.dumps(told, indent=2)
