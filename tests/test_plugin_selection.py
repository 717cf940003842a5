from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_plugins import ZLIB, install
from test_cli_check import spawn

from coldpress import PluginError
from coldpress.cli import main
from coldpress.config import load_config
from coldpress.errors import ConfigError
from coldpress.registry import Registry
from coldpress.selection import Selection

Out = pytest.CaptureFixture[str]

# Importing it leaves a trace, so that a test can tell that it was not imported.
FAST = ZLIB.replace('"zlib"', '"fast"') + "\nimport pathlib\npathlib.Path('imported').touch()\n"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two distributions, acme-zlib and Acme.Fast, and the module acme_mod."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    install(tmp_path, "acme_zlib", "3.0", {"deflate": "acme_zlib_module"}, ZLIB)
    install(tmp_path, "Acme.Fast", "1.0", {"quick": "acme_fast_module"}, FAST)
    (tmp_path / "acme_mod.py").write_text(ZLIB.replace('"zlib"', '"mod"'))
    (tmp_path / "acme_broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "acme_bad.py").write_text(ZLIB.replace("@coldpress.hookimpl\n", ""))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def loaded(*options: str, **environ: str) -> Registry:
    return Registry.load(Selection.of(environ, options))


def ours(registry: Registry) -> list[str]:
    """The plugins that are not built in, and "built-in" if those are there."""
    names = {
        "built-in" if one.distribution == "coldpress" else one.name for one in registry.plugins()
    }
    return sorted(names & {"built-in", "fast", "zlib", "mod"})


@pytest.mark.parametrize(
    ("options", "environ", "names"),
    [
        ([], {}, "built-in fast zlib"),
        (["no:quick"], {}, "built-in zlib"),
        (["no:acme-fast"], {}, "built-in zlib"),
        (["no:ACME_FAST", "no:deflate"], {}, "built-in"),
        (["no:coldpress"], {}, "fast zlib"),
        (["no:builtin"], {}, "fast zlib"),
        ([], {"COLDPRESS_DISABLE": "quick"}, "built-in zlib"),
        ([], {"COLDPRESS_DISABLE": " deflate ,, acme_fast,"}, "built-in"),
        ([], {"COLDPRESS_DISABLE": "coldpress"}, "fast zlib"),
        ([], {"COLDPRESS_PLUGINS": "quick"}, "built-in fast"),
        ([], {"COLDPRESS_PLUGINS": "acme_fast, deflate"}, "built-in fast zlib"),
        ([], {"COLDPRESS_PLUGINS": ""}, "built-in"),
        ([], {"COLDPRESS_PLUGINS": "quick", "COLDPRESS_DISABLE": "acme.fast"}, "built-in"),
        ([], {"COLDPRESS_PLUGINS": "", "COLDPRESS_DISABLE": "builtin"}, ""),
        (["acme_mod"], {}, "built-in fast mod zlib"),
        (["acme_mod", "acme_mod"], {"COLDPRESS_PLUGINS": ""}, "built-in mod"),
        (["acme_mod", "no:acme-mod"], {}, "built-in fast zlib"),
        (["acme_mod"], {"COLDPRESS_DISABLE": "acme_mod"}, "built-in fast zlib"),
        (["acme_broken", "no:acme_broken"], {}, "built-in fast zlib"),
        (["acme_fast_module"], {}, "built-in fast zlib"),
    ],
)
def test_what_is_let_in(options: list[str], environ: dict[str, str], names: str) -> None:
    registry = loaded(*options, **environ)
    assert ours(registry) == names.split()
    assert [one for one in registry.warnings if "acme" in one.lower() or "COLD" in one] == []


@pytest.mark.parametrize(
    ("options", "environ"),
    [(["no:quick"], {}), ([], {"COLDPRESS_DISABLE": "quick"}), ([], {"COLDPRESS_PLUGINS": "x"})],
)
def test_what_is_left_out_is_not_even_imported(
    options: list[str], environ: dict[str, str], site: Path
) -> None:
    loaded(*options, **environ)
    assert not (site / "imported").exists()
    loaded()
    assert (site / "imported").exists()


@pytest.mark.parametrize(
    ("options", "environ", "warning"),
    [
        (
            ["no:acme-fats"],
            {},
            "-p no:acme-fats: no plugin is called 'acme-fats'; did you mean 'acme-fast'?",
        ),
        (
            [],
            {"COLDPRESS_DISABLE": "acme_zlip"},
            "COLDPRESS_DISABLE: no plugin is called 'acme_zlip'; did you mean 'acme-zlib'?",
        ),
        (
            ["acme_mod"],
            {"COLDPRESS_PLUGINS": "acme_m"},
            "COLDPRESS_PLUGINS: no plugin is called 'acme_m'; did you mean 'acme-mod', "
            "'acme-zlib' or 'acme-fast'?",
        ),
    ],
)
def test_an_unknown_name_is_a_warning_with_close_matches(
    options: list[str], environ: dict[str, str], warning: str
) -> None:
    assert warning in loaded(*options, **environ).warnings


def test_an_unknown_name_like_no_other_lists_them_all() -> None:
    (warning,) = (one for one in loaded("no:qqqq").warnings if "qqqq" in one)
    assert warning.startswith("-p no:qqqq: no plugin is called 'qqqq'; there are: ")
    assert {"quick", "deflate", "coldpress"} <= set(warning.partition("are: ")[2].split(", "))


def test_asking_for_what_is_left_out_says_who_left_it_out() -> None:
    registry = loaded("no:quick", COLDPRESS_PLUGINS="quick")
    for name, why in (
        ("quick", "plugin 'quick' of Acme.Fast 1.0: left out by -p no:quick"),
        (
            "acme_zlib:zlib",
            "plugin 'deflate' of acme_zlib 3.0: left out, since COLDPRESS_PLUGINS does not name it",
        ),
    ):
        with pytest.raises(PluginError) as caught:
            registry.find("compressor", name)
        assert str(caught.value).startswith(f"unknown compressor {name!r}; {why}; installed: ")
    with pytest.raises(PluginError, match=r"not loaded, as was asked for: .*quick of Acme\.Fast"):
        registry.find("compressor", "fast")


@pytest.mark.parametrize(
    "argv",
    [
        ["-p", "acme_mod", "plugins", "--json"],
        ["plugins", "-p", "acme_mod", "--json"],
        ["-p", "no:quick", "plugins", "-p", "acme_mod", "--json"],
        ["-p", "acme_mod", "plugins", "-p", "no:quick", "--json"],
    ],
)
def test_the_option_may_stand_before_and_after_the_command(argv: list[str], capsys: Out) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert '"distribution": "acme_mod"' in out
    assert ('"Acme.Fast"' in out) == ("no:quick" not in argv)


def test_a_module_s_plugin_composes_a_pipeline(capsys: Out) -> None:
    Path("pipeline.toml").write_text('[compressor]\nuse = "mod"\nlevel = 3\n')
    assert main(["check", "pipeline.toml", "-p", "acme_mod"]) == 0
    assert "compressor\tmod\tlevel=3\n" in capsys.readouterr().out
    assert main(["check", "pipeline.toml", "-p", "no:quick"]) == 2  # it is gone again
    assert "unknown compressor 'mod'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "compare", "check", "plugins", "schema"])
def test_every_command_has_the_option(command: str, capsys: Out) -> None:
    pipeline = [] if command in ("plugins", "schema") else ["pipeline.toml"]
    assert main([command, *pipeline, "-p", "acme_nowhere"]) == 2
    assert capsys.readouterr().err == (
        "coldpress: error: -p acme_nowhere: can not be imported: "
        "ModuleNotFoundError: No module named 'acme_nowhere'\n"
    )


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        ("acme_broken", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("acme_syntax", "SyntaxError: "),
        ("acme_exit", "SystemExit: no license"),
        (".relative", "TypeError: "),
    ],
)
def test_a_module_that_can_not_be_imported_is_2_and_one_line(
    module: str, cause: str, site: Path, capsys: Out
) -> None:
    (site / "acme_syntax.py").write_text("def\n")
    (site / "acme_exit.py").write_text("raise SystemExit('no license')")
    assert main(["plugins", "-p", module]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"coldpress: error: -p {module}: can not be imported: {cause}")


def test_a_module_that_is_broken_otherwise_is_a_warning(capsys: Out) -> None:
    assert main(["plugins", "-p", "acme_bad"]) == 0
    assert capsys.readouterr().err == (
        "coldpress: warning: plugin 'acme_bad' of acme_bad (-p): implements no hook: "
        "is @coldpress.hookimpl missing?\n"
    )


@pytest.mark.parametrize("value", ["", "no:"])
def test_an_option_without_a_name_is_a_wrong_call(value: str, capsys: Out) -> None:
    assert main(["plugins", "-p", value]) == 2
    assert "argument -p: expected MODULE or no:NAME" in capsys.readouterr().err


def test_a_pipeline_file_can_not_have_a_module_imported(site: Path) -> None:
    (site / "acme_evil.py").write_text("import pathlib\npathlib.Path('evil').touch()\n")
    for text in (
        'plugins = ["acme_evil"]',
        'p = "acme_evil"',
        '[compressor]\nuse = "acme_evil"',
        '[compressor]\nuse = "acme_evil:zlib"',
        'entries = ["acme_evil"]',
    ):
        Path("pipeline.toml").write_text(text)
        with pytest.raises(ConfigError, match="unknown"):
            load_config("pipeline.toml")
    assert "acme_evil" not in sys.modules
    assert not (site / "evil").exists()


def test_the_environment_holds_for_the_real_command(site: Path) -> None:
    path = {"PYTHONPATH": str(site)}
    status, out, err = spawn("plugins", **path, COLDPRESS_PLUGINS="quick")
    assert (status, err) == (0, "")
    assert "\tfast\t" in out
    assert "\tzlib\t" not in out
    status, out, err = spawn("plugins", **path, COLDPRESS_DISABLE="quick,coldprss")
    assert "\tfast\t" not in out
    assert "\tzlib\t" in out
    assert (status, err) == (
        0,
        "coldpress: warning: COLDPRESS_DISABLE: no plugin is called 'coldprss'; "
        "did you mean 'coldpress'?\n",
    )
