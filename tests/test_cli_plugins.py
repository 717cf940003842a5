from __future__ import annotations

import json
from collections.abc import Iterator

import attrs
import fake_plugins
import pytest

import coldpress
from coldpress.cli import main
from coldpress.registry import using

Out = pytest.CaptureFixture[str]

Odd = fake_plugins.concrete(
    coldpress.Frontend,
    "odd",
    socket=(str, coldpress.option(help="where to listen")),
    share=(coldpress.Percent, coldpress.option(default=coldpress.Percent(0.5), help="of RAM")),
    made=(coldpress.Size, coldpress.option(default=attrs.Factory(lambda: 1 << 20), help="bytes")),
)


@pytest.fixture
def _fakes() -> Iterator[None]:
    module = fake_plugins.plugin("acme", frontend=[Odd], compressor=[fake_plugins.Zstd])
    registry = fake_plugins.registry((module, "acme-odd", "2.1"))
    with using(registry):
        yield


@pytest.mark.usefixtures("_fakes")
def test_in_a_pipe_a_plugin_is_one_line_with_tabs(capsys: Out) -> None:
    assert main(["plugins"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert len(lines) == sum(map(len, fake_plugins.CLASSES.values())) + 2
    assert lines[-1] == (
        "frontend\todd\tacme-odd 2.1\tThe odd of the tests.\t"
        "socket: string (required), share: percentage = 50%, made: size = 1MiB"
    )
    zstd = "The zstd of the tests.\tlevel: integer = 1, dictionary: string or none = none"
    assert [line for line in lines if "\tzstd\t" in line] == [
        f"compressor\tzstd\tacme-odd 2.1\t{zstd}",
        f"compressor\tzstd\tcoldpress 0.1.0\t{zstd}",
    ]


@pytest.mark.usefixtures("_fakes")
def test_json(capsys: Out) -> None:
    assert main(["plugins", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[-1] == {
        "role": "frontend",
        "name": "odd",
        "distribution": "acme-odd",
        "version": "2.1",
        "summary": "The odd of the tests.",
        "description": "The odd of the tests.\n\nAnd more of it.",
        "options": [
            {
                "name": "socket",
                "type": "string",
                "unit": None,
                "required": True,
                "default": None,
                "help": "where to listen",
            },
            {
                "name": "share",
                "type": "percentage",
                "unit": 'percent, written like "95%"',
                "required": False,
                "default": "50%",
                "help": "of RAM",
            },
            {
                "name": "made",
                "type": "size",
                "unit": 'bytes, written like "64KiB"',
                "required": False,
                "default": "1MiB",
                "help": "bytes",
            },
        ],
        "capabilities": [],
    }


@pytest.mark.usefixtures("_fakes")
def test_a_role_lists_its_plugins(capsys: Out) -> None:
    assert main(["plugins", "policy"]) == 0
    assert capsys.readouterr().out == (
        "policy\tfifo\tcoldpress 0.1.0\tThe fifo of the tests.\t\n"
        "policy\tlru\tcoldpress 0.1.0\tThe lru of the tests.\t\n"
    )
    assert main(["plugins", "entry_type", "--json"]) == 0
    assert {one["role"] for one in json.loads(capsys.readouterr().out)} == {"entry_type"}


@pytest.mark.usefixtures("_fakes")
def test_a_name_shows_all_about_the_plugin(capsys: Out) -> None:
    assert main(["plugins", "odd"]) == 0
    assert capsys.readouterr().out == (
        """\
frontend odd, of acme-odd 2.1

The odd of the tests.

And more of it.

options:
  socket: string (required)
      where to listen
  share: percentage = 50%
      in percent, written like "95%"
      of RAM
  made: size = 1MiB
      in bytes, written like "64KiB"
      bytes
"""
    )


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("zstd", ["acme-odd", "coldpress"]),
        ("acme-odd:zstd", ["acme-odd"]),
        ("Acme_Odd:zstd", ["acme-odd"]),
        ("coldpress:zstd", ["coldpress"]),
    ],
)
def test_a_distribution_tells_plugins_of_one_name_apart(
    name: str, found: list[str], capsys: Out
) -> None:
    assert main(["plugins", name, "--json"]) == 0
    plugins = json.loads(capsys.readouterr().out)
    assert [(one["distribution"], one["name"]) for one in plugins] == [
        (distribution, "zstd") for distribution in found
    ]
    assert main(["plugins", name]) == 0
    assert capsys.readouterr().out.count("compressor zstd, of ") == len(found)


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zsdt", "unknown role or plugin 'zsdt'; did you mean 'zstd'? roles: compressor, "),
        ("polcy", "unknown role or plugin 'polcy'; did you mean 'policy'? roles: compressor, "),
        ("acme:odd", "unknown role or plugin 'acme:odd'; did you mean 'acme-odd:odd'? roles: "),
        ("", "unknown role or plugin ''; roles: compressor, "),
    ],
)
def test_an_unknown_name_is_2_with_a_hint(name: str, message: str, capsys: Out) -> None:
    for argv in (["plugins", name], ["plugins", name, "--json"]):
        assert main(argv) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"coldpress: error: {message}")


def test_a_missing_or_broken_plugin_s_name_says_what_to_do(capsys: Out) -> None:
    broken = fake_plugins.plugin("bad", policy=[7])
    with using(fake_plugins.registry((broken, "acme-bad", "1.0"))):
        assert main(["plugins", "arc"]) == 2
        assert capsys.readouterr().err.endswith("; pip install coldpress-arc brings it\n")
        assert main(["plugins", "acme-bad"]) == 2
        assert (
            "unknown role or plugin 'acme-bad'; plugin 'bad' of acme-bad 1.0: "
            "coldpress_policies returned 7, which is left out: " in capsys.readouterr().err
        )


def test_a_plugin_s_capabilities_are_its_role_s_class_variables(capsys: Out) -> None:
    assert main(["plugins", "--json"]) == 0
    found = {
        (one["role"], one["name"]): {each["name"]: each["value"] for each in one["capabilities"]}
        for one in json.loads(capsys.readouterr().out)
    }
    assert found["packer", "bounce"]["whole_zspages"] is False
    assert found["packer", "zspage"]["whole_zspages"] is True
    assert found["packer", "page"]["keeps_compressed"] is False
    assert found["device", "nvme"]["queue_depth"] > found["device", "file"]["queue_depth"] == 1
    assert found["entry_type", "zswap"]["folios"] is True
    assert found["entry_type", "packed"].keys() >= {"counts_as", "folios", "largest_device"}
    assert found["compressor", "zstd"] == {}
    assert main(["plugins", "page"]) == 0
    assert (
        "capabilities:\n  whole_zspages = false\n      Whether with a victim all that shares its"
        in capsys.readouterr().out
    )


def test_a_capability_that_a_kind_declares_again_is_told_once(capsys: Out) -> None:
    assert main(["plugins", "entry_type", "--json"]) == 0
    for plugin in json.loads(capsys.readouterr().out):
        names = [one["name"] for one in plugin["capabilities"]]
        assert len(names) == len(set(names)), plugin["name"]
        assert all(one["help"] for one in plugin["capabilities"])


def test_a_capability_that_json_has_no_word_for_is_a_text(capsys: Out) -> None:
    odd = fake_plugins.concrete(coldpress.EntryType, "strange")
    odd.counts_as = {1, 2}
    with using(fake_plugins.registry((fake_plugins.plugin(entry_type=[odd]), "acme", "1"))):
        assert main(["plugins", "strange", "--json"]) == 0
        (plugin,) = json.loads(capsys.readouterr().out)
        assert plugin["capabilities"][0]["value"] == "{1, 2}"
        assert main(["plugins", "strange"]) == 0
        assert "  counts_as = {1, 2}\n" in capsys.readouterr().out


def test_every_built_in_says_what_it_is(capsys: Out) -> None:
    assert main(["plugins", "--json"]) == 0
    built_in = [
        one for one in json.loads(capsys.readouterr().out) if one["distribution"] == "coldpress"
    ]
    assert len(built_in) >= 18
    for one in built_in:
        assert one["summary"].endswith("."), one
        assert len(one["summary"]) <= 100, one
        for option in one["options"]:
            assert option["help"], one
