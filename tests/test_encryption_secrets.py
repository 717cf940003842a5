"""What can be read on an encrypted device, and of freed pages and the key in memory: nothing."""

from __future__ import annotations

import base64
import gc
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
import zstandard
from contents import holds
from encrypted import SLOTS, Describe, filled, keyed
from once import on_one_python

import coldpress
from coldpress import Pipeline, ReservedMapping
from coldpress.cipher import Cipher
from coldpress.cli import main
from coldpress.config import load_config
from coldpress.testing.crash import CrashDevice, Medium
from coldpress.testing.pages import page

PACKERS = ("bounce", "zspage", "zsmalloc", "aligned")
PIECE = 16


def pieces(contents: Iterable[bytes]) -> set[bytes]:
    """All pieces of these at multiples of 16 bytes, but for what any small number looks like."""
    found = {
        data[at : at + PIECE] for data in contents for at in range(0, len(data) - PIECE + 1, PIECE)
    }
    return {piece for piece in found if piece.count(0) <= PIECE // 2}


def in_sight(where: bytes | memoryview, secrets: set[bytes]) -> set[bytes]:
    raw = bytes(where)
    return {piece for at in range(len(raw)) if (piece := raw[at : at + PIECE]) in secrets}


class Spy:
    """The compressed objects that a pipeline makes, besides the pages."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.objects: list[bytes] = []
        self.of_page: dict[bytes, bytes] = {}
        codec, compress = pipeline._codecs.current

        def noted(page: Any) -> bytes:
            self.objects.append(compress(page))
            self.of_page[bytes(page)] = self.objects[-1]
            return self.objects[-1]

        pipeline._codecs.current = codec, noted


@on_one_python
@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_nothing_of_a_page_is_on_the_device(
    shape: Describe, key: str, packer: str, encrypted: bool
) -> None:
    config = load_config(shape(packer={"use": packer}, cache={"pages": 8}))
    medium = Medium(bytes(2 << 20))
    device = CrashDevice.over(medium, encrypt=key if encrypted else "")
    with Pipeline(attrs.evolve(config, device=device), synchronous=True) as pipeline:
        spy = Spy(pipeline)
        model = filled(pipeline)
        pipeline.sync()
        for slot in range(0, SLOTS, 3):  # so that the cleaner has something to do
            pipeline.invalidate(slot)
        model |= filled(pipeline, 2)
        pipeline.sync()
        holds(pipeline, model)
        secrets = pieces([*model.values(), *spy.objects])
    written = b"".join(one.data for one in medium._log if one.data)
    assert len(secrets) > 10_000
    assert bool(in_sight(written, secrets)) is not encrypted


@pytest.mark.parametrize("encrypt", ["ephemeral", ""])
def test_nothing_of_a_page_is_on_a_device_that_forgets(shape: Describe, encrypt: str) -> None:
    shaped = {**shape(), "device": {"use": "memory", "size": "2MiB", "encrypt": encrypt}}
    with Pipeline(load_config(shaped), synchronous=True) as pipeline:
        spy = Spy(pipeline)
        model = filled(pipeline)
        pipeline.sync()
        holds(pipeline, model)
        secrets = pieces([*model.values(), *spy.objects])
        on_device = bytes(pipeline.config.device._opened())  # type: ignore[attr-defined]
        assert bool(in_sight(on_device, secrets)) is not bool(encrypt)


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_nothing_of_a_dictionary_is_on_the_device(
    shape: Describe, tmp_path: Path, key: str, encrypted: bool
) -> None:
    samples = [page("text", slot, slot) for slot in range(400)]
    dictionary = tmp_path / "pages.dict"
    dictionary.write_bytes(zstandard.train_dictionary(4096, samples).as_bytes())
    secrets = pieces([dictionary.read_bytes()])
    device = keyed(key) if encrypted else {"persistent": True}
    zstd = {"use": "zstd", "dictionary": str(dictionary)}
    with coldpress.open(shape(device=device, compressor=zstd)) as pipeline:
        model = filled(pipeline)
    dictionary.unlink()
    image = (tmp_path / "cold.img").read_bytes()
    assert bool(in_sight(image, secrets)) is not encrypted
    with coldpress.open(shape(device=device)) as pipeline:
        holds(pipeline, model)


def test_two_pipelines_that_forget_have_two_keys(shape: Describe) -> None:
    with coldpress.open(shape(device={"encrypt": "ephemeral"})) as one:
        cipher = one._store.sealing.cipher
        assert cipher is not None
        sealed = cipher.seal(b"", bytes(12), b"")
        with pytest.raises(ValueError, match="authentication"):
            Cipher.ephemeral(one._store._uuid).open(sealed, bytes(12), b"")


@pytest.mark.parametrize("allocator", ["zsmalloc", "zbud"])
def test_nothing_of_what_was_freed_is_in_the_pool(shape: Describe, allocator: str) -> None:
    before = mappings()
    table = shape(allocator={"use": allocator}, cache={"pages": 8}, compressor={"use": "lz4"})
    with Pipeline(load_config(table), synchronous=True) as pipeline:
        spy = Spy(pipeline)
        model = filled(pipeline)
        own = [one for one in mappings() if one not in before]
        assert len(own) == 3  # the allocator's, of raw pages, and of the swap cache

        def of_slots(slots: Iterable[int]) -> set[bytes]:
            contents = [model[slot] for slot in slots]
            return pieces([*contents, *(spy.of_page.get(one, b"") for one in contents)])

        assert all(in_sight(used(one), of_slots(range(SLOTS))) for one in own)
        pipeline.sync()
        for gone in (range(0, SLOTS, 2), range(1, SLOTS, 2)):
            secrets = of_slots(gone) - of_slots(set(range(SLOTS)) - set(gone))
            for slot in gone:
                pipeline.invalidate(slot)
            assert not any(in_sight(used(one), secrets) for one in own)


def test_nothing_is_left_in_a_buffer_that_is_given_back(shape: Describe) -> None:
    with Pipeline(load_config(shape()), synchronous=True) as pipeline:
        staging = pipeline._writeback.staging
        pipeline.store(0, page("noise", 0, 1))
        block, _ = staging.block_for(4096)
        assert block is not None
        pipeline._writeback.stage(block, pipeline._entries.victim(0, 1))
        (mapping,) = staging._lent.values()
        assert any(mapping[:])
        staging.give_back(block)
        assert not any(mapping[:])


def mappings() -> list[ReservedMapping]:
    return [one for one in gc.get_objects() if type(one) is ReservedMapping]


def used(one: ReservedMapping) -> memoryview:
    return one.view[: one._fresh * one.extent]


def test_the_key_is_told_to_nobody(
    shape: Describe, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = Path(key).read_bytes()
    file = tmp_path / "pipeline.toml"
    file.write_text(
        f'slots = 64\n[device]\npath = "{tmp_path}/cold.img"\nsize = "2MiB"\n'
        f'persistent = true\nencrypt = "{key}"\n'
    )
    assert main(["check", str(file), "--json"]) == 0
    with coldpress.open(file) as pipeline:
        filled_some = {slot: page("text", slot, 1) for slot in range(64)}
        for slot, data in filled_some.items():
            pipeline.store(slot, data)
        parts = [pipeline.config, pipeline.config.device, pipeline._store.sealing, pipeline._store]
        told = " ".join(map(repr, [*parts, pipeline._store.sealing.cipher]))
        told += json.dumps(pipeline.stats().asdict())
    assert main(["plugins", "file", "--json"]) == 0
    told += "".join(capsys.readouterr())
    for form in (secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode()):
        assert form not in told
