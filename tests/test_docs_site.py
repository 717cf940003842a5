"""Everything that can be used is in the built documentation; `tox -e docs` builds it."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import textwrap
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import attrs
import built_site
import pytest

import coldpress
from coldpress import cli, hookspecs, roles, testing
from coldpress.capabilities import capabilities
from coldpress.component import Component, options, summary
from coldpress.config.schema import DEFAULT_USE, PLAIN_TABLES, TopLevel
from coldpress.harness.result import Result
from coldpress.harness.row import Row
from coldpress.registry import PluginInfo, Registry
from coldpress.selection import Selection
from coldpress.stats import Stats
from coldpress.testing.running import in_words
from coldpress.values import type_name, unit, written_text

FOLDER = built_site.folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="no built site: `tox -e docs` has one")

BUILT_IN = Registry.load(Selection(only=())).plugins()
HOOKS = [name for name, one in vars(hookspecs).items() if hasattr(one, "coldpress_spec")]
COMMANDS = re.findall(r"^    (\w\S*)  ", cli.command_line().format_help(), re.MULTILINE)


@functools.cache
def page(name: str) -> built_site.Page:
    assert FOLDER is not None
    return built_site.Page(FOLDER / f"{name}.html")


def pages() -> list[str]:
    assert FOLDER is not None
    found = [str(one.relative_to(FOLDER).with_suffix("")) for one in FOLDER.rglob("*.html")]
    assert len(found) > 15
    return found


def signature(function: Callable[..., Any]) -> str:
    """A function's signature as its source has it, without `self`."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    node.args.args = [one for one in node.args.args if one.arg != "self"]
    return f"{node.name}({ast.unparse(node.args)}) -> {ast.unparse(cast(ast.expr, node.returns))}"


def flat(text: str) -> str:
    """A signature on one line, however it was wrapped."""
    return re.sub(r",\)", ")", "".join(text.split()))


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_with_its_signature_and_meaning(name: str) -> None:
    section = f"coldpress.hookspecs.{name}"
    hook = getattr(hookspecs, name)
    assert [flat(one) for one in page("hooks").blocks[section]] == [flat(signature(hook))]
    assert hook.__doc__ in page("hooks").words(section)


def test_there_are_hooks_and_commands_to_look_for() -> None:
    assert len(HOOKS) == len(roles.ROLES) == 7
    assert {"run", "compare", "check", "plugins", "schema"} <= set(COMMANDS)


def expected_keys(schema: type) -> Iterator[list[str]]:
    for field in options(cast("type[Component]", schema)):
        help_text = field.metadata["help"]
        assert help_text.strip(), f"{schema.__name__}.{field.name} has no meaning"
        yield [field.name, type_name(field.type), unit(field.type) or "", help_text]


def documented_keys(name: str, section: str) -> list[list[str]]:
    """Name, type, unit and meaning of the keys in the section's tables."""
    found = [row for row in page(name).rows[section] if len(row) == 5]
    assert all(row[3] for row in found), "a key without a default must be called required"
    return [[*row[:3], row[4]] for row in found]


@pytest.mark.parametrize("plugin", BUILT_IN, ids=lambda one: f"{one.role}-{one.name}")
def test_every_plugin_with_its_keys(plugin: PluginInfo) -> None:
    section = f"{plugin.role}-{plugin.name}"
    keys = list(expected_keys(plugin.component))
    pages = [f"roles/{plugin.role}"] + ["config"] * (plugin.role in DEFAULT_USE)
    for name in pages:
        assert section in page(name).ids
        assert documented_keys(name, section) == keys
        plain = summary(plugin.component).replace("`", "")
        assert plain in page(name).words(section)


@pytest.mark.parametrize("plugin", BUILT_IN, ids=lambda one: f"{one.role}-{one.name}")
def test_every_plugin_with_its_capabilities(plugin: PluginInfo) -> None:
    rows = page(f"roles/{plugin.role}").rows[f"{plugin.role}-{plugin.name}"]
    said = [
        [one.name, written_text(one.value, None), one.help]
        for one in capabilities(plugin.component)
    ]
    assert all(meaning for _, _, meaning in said)
    plain = [[part.replace("`", "").replace("\n", " ") for part in row] for row in said]
    assert [row for row in rows if len(row) == 3] == plain


@pytest.mark.parametrize(
    ("section", "schema"),
    [("top-level", TopLevel), *PLAIN_TABLES.items()],
    ids=lambda one: str(one),
)
def test_every_table_of_no_plugin_with_its_keys(section: str, schema: type) -> None:
    assert documented_keys("config", section) == list(expected_keys(schema))


@pytest.mark.parametrize("role", DEFAULT_USE)
def test_every_role_table_says_which_plugins_there_are(role: str) -> None:
    ((key, _, _, default, meaning),) = page("config").rows[role]
    assert (key, default) == ("use", f'"{DEFAULT_USE[role]}"')
    assert [one.name for one in BUILT_IN if one.role == role] == meaning.split(": ")[1].split(", ")


def test_a_default_stands_as_a_pipeline_file_has_it() -> None:
    rows = {row[0]: row[3] for row in page("config").rows["device-file"]}
    flags = {"persistent": "false", "format": "false", "encrypt": '""'}
    assert rows == {"size": '"1GiB"', **flags, "path": "none"}
    assert page("config").rows["top-level"][2][3] == '["filled", "zswap", "raw"]'


def test_every_counter_with_its_meaning() -> None:
    fields = {field.name: field.metadata["help"] for field in attrs.fields(Stats)}
    assert all(fields.values())
    assert {row[0]: row[2] for row in page("counters").rows["counters"]} == fields


def test_every_figure_of_a_run_and_of_a_comparison() -> None:
    counters = {field.name: 0 for field in attrs.fields(Stats)}
    run = Result(4096, {}, counters=counters, before_reading_back=counters)
    row = Row("a", "page", 0.25, 1, run, array("Q"), array("Q"), None)
    there = page("counters")
    result, comparison = (f"{type(one).__module__}.{type(one).__qualname__}" for one in (run, row))

    def is_told(key: str) -> bool:
        return there.describes(result, key, section="figures-of-a-run")

    def is_told_too(key: str) -> bool:
        there_too = there.describes(comparison, key, section="figures-of-a-comparison")
        return there_too or key in there.words(f"{comparison}.latencies")

    run_keys, row_keys = run.asdict().keys() - counters, row.asdict().keys() - counters
    assert [key for key in run_keys if not is_told(key)] == []
    assert [key for key in row_keys if not (is_told(key) or is_told_too(key))] == []


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_with_its_help(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.main([*name.split(), "--help"]) == 0
    section = f"coldpress-{name}" if name else "the-command-line"
    assert page("commands").blocks[section] == [capsys.readouterr().out]


ROLE_CLASSES = [
    (role, name)
    for role, cls in roles.ROLES.items()
    for name in roles.__all__
    if getattr(getattr(roles, name), "__module__", None) == cls.__module__
]


@pytest.mark.parametrize(("role", "name"), ROLE_CLASSES)
def test_every_role_with_every_member_and_signature(role: str, name: str) -> None:
    cls = getattr(roles, name)
    there = page(f"roles/{role}")
    package = "coldpress" if name in coldpress.__all__ else "coldpress.roles"
    own = f"{package}.{name}"
    assert own in there.ids
    first = inspect.cleandoc(cls.__doc__).partition("\n")[0].replace("`", "")
    assert first in there.words(own)
    fields = {one.name for one in attrs.fields(cls)} if attrs.has(cls) else set()
    members = {one for one in {*vars(cls), *inspect.get_annotations(cls)} if one[0] != "_"}
    for member in members:
        found = vars(cls).get(member)
        if inspect.isfunction(found):
            blocks = there.blocks[f"{own}.{member}"]
            assert flat(signature(found)) in map(flat, blocks), f"{own}.{member}"
        elif member in fields or isinstance(found, property) or found is None:
            assert there.describes(own, member), f"{own}.{member} is not described"
        else:
            assert f"{own}.{member}" in there.ids, f"{own}.{member} is not described"


@pytest.mark.parametrize("role", roles.ROLES)
def test_every_role_page_leads_to_its_hook(role: str) -> None:
    hook = hookspecs.HOOKS[role]
    assert f"../hooks.html#coldpress.hookspecs.{hook}" in page(f"roles/{role}").links
    assert f"roles/{role}.html" in page("hooks").links


@pytest.mark.parametrize("role", roles.ROLES)
def test_every_conformance_class_with_its_checks(role: str) -> None:
    kit = getattr(testing, testing.KITS[role])
    own = f"coldpress.testing.{testing.KITS[role]}"
    assert f"../kit.html#{own}" in page(f"roles/{role}").links
    first = inspect.cleandoc(kit.__doc__).partition("\n")[0].replace("`", "")
    assert first in page("kit").words(own)
    checks = [in_words(name) for name in dir(kit) if name.startswith("test_")]
    assert len(checks) > 5
    words = page("kit").words(f"checks-{role}")
    assert [one for one in checks if one not in words] == []


def test_every_public_name() -> None:
    ids = set().union(*(page(name).ids for name in pages()))
    assert [one for one in coldpress.__all__ if f"coldpress.{one}" not in ids] == []


def test_every_link_inside_leads_somewhere() -> None:
    assert FOLDER is not None
    broken = []
    for name in pages():
        for link in page(name).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            here = FOLDER / f"{name}.html"
            # What is served for a missing page may stand anywhere: its links begin at the top.
            path = parts.path.removeprefix("/") if name == "404" else parts.path
            target = (here.parent / unquote(path)).resolve() if path else here
            if not target.is_file():
                broken.append((name, link))
            elif parts.fragment:
                at = str(target.relative_to(FOLDER.resolve()).with_suffix(""))
                if unquote(parts.fragment) not in page(at).ids:
                    broken.append((name, link))
    assert broken == []


def test_nothing_is_fetched_from_another_host() -> None:
    assert FOLDER is not None
    fetched = [(name, one) for name in pages() for one in page(name).loaded]
    for sheet in FOLDER.rglob("*.css"):
        text = sheet.read_text()
        found = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", text)
        fetched += [(sheet.name, one) for one in found if not one.startswith("data:")]
    assert len(fetched) > 50
    outside = [one for one in fetched if urlsplit(one[1]).netloc or urlsplit(one[1]).scheme]
    assert outside == []


def test_the_pages_can_be_searched() -> None:
    assert FOLDER is not None
    index = json.loads((FOLDER / "search" / "search_index.json").read_text())
    found = {Path(one["location"].partition("#")[0]).stem for one in index["docs"]}
    assert {"config", "tutorial", *roles.ROLES} <= found
