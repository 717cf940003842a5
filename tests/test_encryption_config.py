"""An encrypted device: what may be configured, and what is said of what may not."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from contents import holds
from encrypted import Describe, filled, keyed
from keys import key_file

import coldpress
from coldpress import ConfigError, Pipeline
from coldpress.config import load_config
from coldpress.config.rules import between

Patch = pytest.MonkeyPatch


def problems(table: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(table)
    return [one.message for one in caught.value.problems]


def test_a_key_file_has_to_be_right(shape: Describe, tmp_path: Path) -> None:
    def said(path: object) -> str:
        (one,) = problems(shape(device=keyed(str(path))))
        assert "\n" not in one
        assert one.startswith("'encrypt' in [device] file: ")
        return one

    assert "No such file or directory; (umask 077; head -c 32 " in said(tmp_path / "none")
    assert "is no regular file" in said(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is no regular file" in said(tmp_path / "pipe")
    assert "no path has a zero byte" in said("a\0b")
    short, long = key_file(tmp_path, "31", bytes(31)), key_file(tmp_path, "33", bytes(33))
    assert "has 31 bytes, not 32" in said(short)
    assert "has more than 32 bytes, not 32" in said(long)
    for mode in (0o640, 0o604, 0o620, 0o601):
        path = Path(key_file(tmp_path, f"{mode:o}"))
        path.chmod(mode)
        assert f"others have access to the key file '{path}': chmod 600 it" in said(path)


def test_what_does_not_go_together(shape: Describe, key: str) -> None:
    (said,) = problems(shape(device={"persistent": True, "encrypt": "ephemeral"}))
    assert said == (
        "'encrypt' in [device]: with 'ephemeral' nobody could open a persistent device again; "
        "name a key file"
    )
    (said,) = problems(shape(device={"encrypt": key}))
    assert said == (
        "'encrypt' in [device]: a key file is for persistent = true; what is forgotten at close "
        "needs 'ephemeral'"
    )
    hidden = {"encrypt": "ephemeral"}
    (said,) = problems(shape(packer={"use": "page", "block": "4KiB"}, device=hidden))
    assert said.startswith("'use' in [packer]: 'page' writes pages without records, which")
    large = {"page_size": "64KiB", "packer": {"block": "256KiB"}, "allocator": {"limit": "8MiB"}}
    (said,) = problems(shape(device={**hidden, "size": "64MiB"}, **large))
    assert said == "'page_size': must be at most 32KiB with 'encrypt' in [device], got 64KiB"


def test_a_block_has_room_for_a_page_with_its_seal(shape: Describe) -> None:
    # `fits` of the packer says so: one that just holds a page would not hold it sealed.
    config = load_config(shape(page_size="8KiB", packer={"block": "16KiB"}))
    packer = config.packer
    packer.fits = lambda length, page_size: length <= page_size  # type: ignore[method-assign]
    assert not list(between(config))
    device = attrs.evolve(config.device, encrypt="ephemeral")
    (found,) = between(attrs.evolve(config, device=device))
    assert "can not hold a page of 8KiB" in found[1]


def test_without_the_package_it_says_what_brings_it(shape: Describe, monkeypatch: Patch) -> None:
    find = importlib.util.find_spec

    def none(name: str, package: str | None = None) -> Any:
        return None if name == "cryptography" else find(name, package)

    monkeypatch.setattr("coldpress.keyfile.find_spec", none)
    (said,) = problems(shape(device={"encrypt": "ephemeral"}))
    assert said.endswith("needs the package 'cryptography': pip install 'coldpress[encrypt]'")


def test_a_key_file_that_is_gone_at_the_opening(shape: Describe, key: str) -> None:
    config = load_config(shape(device=keyed(key)))
    Path(key).unlink()
    with pytest.raises(ConfigError, match="can not read the key file"):
        Pipeline(config)


def test_all_devices_are_encrypted_or_none(shape: Describe) -> None:
    plain = {"use": "memory", "size": "2MiB"}
    hidden = {**plain, "encrypt": "ephemeral"}
    with coldpress.open({**shape(), "device": hidden}) as pipeline:
        with pytest.raises(
            ConfigError, match="has to be what the pipeline began with, 'ephemeral'"
        ):
            pipeline.add_device(plain)
        assert len(pipeline.devices()) == 1
        assert pipeline.add_device(hidden) == 1
        model = filled(pipeline)
        pipeline.drain_device(0)
        holds(pipeline, model)
    with (
        coldpress.open({**shape(), "device": plain}) as pipeline,
        pytest.raises(ConfigError, match="has to be what the pipeline began with, ''"),
    ):
        pipeline.add_device(hidden)
