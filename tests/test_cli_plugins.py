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
        "options": [
            {"name": "socket", "type": "string", "default": None, "help": "where to listen"},
            {"name": "share", "type": "percentage", "default": "50%", "help": "of RAM"},
            {"name": "made", "type": "size", "default": "1MiB", "help": "bytes"},
        ],
    }


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
