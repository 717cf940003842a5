"""An encrypted device: what may be configured, who can open it, and what can be read on it."""

from __future__ import annotations

import base64
import gc
import hmac
import importlib.util
import json
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
import zstandard
from contents import holds
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from forgeries import read_records
from keys import key_file
from once import on_one_python

import coldpress
from coldpress import ConfigError, Pipeline, ReservedMapping
from coldpress.block import MAGIC, RECORD_BYTES, read_auth
from coldpress.cipher import Cipher, Nonces
from coldpress.cli import main
from coldpress.config import load_config
from coldpress.config.rules import between
from coldpress.layout import NONCE_BYTES, PERSISTENT_MAGIC
from coldpress.superblock import decode
from coldpress.testing.crash import CrashDevice, Medium
from coldpress.testing.pages import KINDS, page, same
from coldpress.testing.shapes import described

SLOTS = 256
BLOCK = 32 << 10
PACKERS = ("bounce", "zspage", "zsmalloc", "aligned")
Describe = Callable[..., dict[str, Any]]
Patch = pytest.MonkeyPatch


@pytest.fixture
def shape(tmp_path: Path) -> Describe:
    def make(**tables: Any) -> dict[str, Any]:
        small = {
            "slots": SLOTS,
            "compressor": {"use": "lz4"},
            "allocator": {"limit": "256KiB"},
            "packer": {"block": BLOCK},
            "device": {"use": "file", "path": str(tmp_path / "cold.img"), "size": "2MiB"},
        }
        return described(small, **tables)

    return make


@pytest.fixture
def key(tmp_path: Path) -> str:
    return key_file(tmp_path)


def keyed(path: str, **more: Any) -> dict[str, Any]:
    return {"persistent": True, "encrypt": path, **more}


def problems(table: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(table)
    return [one.message for one in caught.value.problems]


# -- what may be configured -------------------------------------------------------------------


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


# -- who can open it --------------------------------------------------------------------------


def filled(pipeline: Pipeline, version: int = 1) -> dict[int, bytes]:
    model = {slot: page(KINDS[slot % 6], slot, version) for slot in range(SLOTS - 16)}
    for slot, data in model.items():
        pipeline.store(slot, data)
    folio = [page("text", slot, version) for slot in range(SLOTS - 16, SLOTS)]
    pipeline.store(SLOTS - 16, b"".join(folio))
    return model | {SLOTS - 16 + number: data for number, data in enumerate(folio)}


def test_the_key_opens_it_again(shape: Describe, key: str) -> None:
    described = shape(device=keyed(key))
    model: dict[int, bytes] = {}
    for version in range(3):
        with coldpress.open(described) as pipeline:
            holds(pipeline, model)
            model = filled(pipeline, version)


def test_whoever_has_not_the_key_is_refused(shape: Describe, tmp_path: Path, key: str) -> None:
    with coldpress.open(shape(device=keyed(key))) as pipeline:
        model = filled(pipeline)
    before = (tmp_path / "cold.img").read_bytes()
    other = key_file(tmp_path, "other")
    with pytest.raises(ConfigError) as caught:
        coldpress.open(shape(device=keyed(other)))
    assert str(caught.value) == (
        f"device: the key in {other} is not the one that the file device was written with; "
        "format = true gives up what is there"
    )
    with pytest.raises(
        ConfigError, match="is encrypted, and 'encrypt' does not name its key file;"
    ):
        coldpress.open(shape(device={"persistent": True}))
    assert (tmp_path / "cold.img").read_bytes() == before
    with coldpress.open(shape(device=keyed(key))) as pipeline:
        holds(pipeline, model)
    with coldpress.open(shape(device=keyed(other, format=True))) as pipeline:
        assert not pipeline.stats().stored_pages
        model = filled(pipeline, 2)
    with coldpress.open(shape(device=keyed(other))) as pipeline:
        holds(pipeline, model)


def test_one_that_is_not_encrypted_is_refused_with_a_key(shape: Describe, key: str) -> None:
    with coldpress.open(shape(device={"persistent": True})) as pipeline:
        filled(pipeline)
    with pytest.raises(
        ConfigError, match="is not encrypted, but 'encrypt' names a key file; format"
    ):
        coldpress.open(shape(device=keyed(key)))
    with coldpress.open(shape(device=keyed(key, format=True))) as pipeline:
        assert not pipeline.stats().stored_pages


@pytest.mark.parametrize("sealed", [True, False], ids=["with another key", "not encrypted"])
def test_one_superblock_that_was_changed_is_as_damaged(
    shape: Describe, tmp_path: Path, key: str, sealed: bool
) -> None:
    with coldpress.open(shape(device=keyed(key))) as pipeline:
        model = filled(pipeline)
    image = bytearray((tmp_path / "cold.img").read_bytes())
    area = decode(memoryview(image)).area
    newest = max((0, area), key=lambda at: decode(memoryview(image)[at:]).generation)
    raised = attrs.evolve(
        decode(memoryview(image)[newest:]), generation=1 << 30, slots=SLOTS * 2, encrypted=sealed
    )
    forged = raised.encode(Cipher.of_key(bytes(32), raised.uuid) if sealed else None)
    image[newest : newest + len(forged)] = forged
    (tmp_path / "cold.img").write_bytes(image)
    with coldpress.open(shape(device=keyed(key))) as pipeline:
        holds(pipeline, model)


def test_a_key_gives_each_device_another_one() -> None:
    key, one, other = bytes(range(32)), b"a" * 16, b"b" * 16
    nonce = bytes(12)
    sealed = Cipher.of_key(key, one).seal(b"secret", nonce, b"x")
    assert Cipher.of_key(key, one).open(sealed, nonce, b"x") == b"secret"
    for cipher, about in [
        (Cipher.of_key(key, other), b"x"),
        (Cipher.of_key(bytes(32), one), b"x"),
        (Cipher.of_key(key, one), b"y"),
        (Cipher.ephemeral(one), b"x"),
    ]:
        with pytest.raises(ValueError, match="authentication failed"):
            cipher.open(sealed, nonce, about)


def test_the_device_is_as_the_format_says(shape: Describe, tmp_path: Path, key: str) -> None:
    # By the documentation alone: HKDF of RFC 5869, AES-GCM, offsets.
    device = keyed(key)
    with coldpress.open(shape(device=device, compressor={"use": "none"})) as pipeline:
        model = filled(pipeline)
    image = (tmp_path / "cold.img").read_bytes()
    uuid = image[40:56]
    first = hmac.digest(uuid, Path(key).read_bytes(), "sha256")
    aead = AESGCM(hmac.digest(first, b"coldpress device 1\x01", "sha256"))
    (size,) = struct.unpack_from("<I", image, 20)
    ids = aead.decrypt(
        image[92:104], image[128 : 128 + size] + image[104:120], uuid + b"s" + image[:88]
    )
    assert b"none" in ids
    (area,) = struct.unpack_from("<I", image, 80)
    seen = set()
    for start in range(2 * area, len(image) - BLOCK + 1, BLOCK):
        block = image[start : start + BLOCK]
        if block[:4] != b"CPBK":
            continue
        assert block[6] == 1
        (count,) = struct.unpack_from("<I", block, 48)
        records = block[96 : 96 + 24 * count]
        assert not aead.decrypt(block[60:72], block[72:88], uuid + b"h" + block[:60] + records)
        for word, slot, _, sequence in struct.iter_unpack("<QIIQ", records):
            at, length = word & 0xFFFFFF, word >> 24 & 0xFFFFFF
            (copy,) = struct.unpack_from("<Q", block, at)
            about = b"o" + struct.pack("<IQIQ", at, copy, slot, sequence)
            sealed, nonce = block[at + 24 : at + 12 + length], block[at + 12 + length :][:12]
            data = aead.decrypt(nonce, sealed, uuid + about)
            if word >> 56 & 15 == 1:
                assert same(data, model[slot])
            else:
                assert len(data) == 8
            seen.add(slot)
    assert seen == set(model)


# -- what can be read -------------------------------------------------------------------------

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


# -- nonces -----------------------------------------------------------------------------------


def switching(call: Callable[[], int]) -> Callable[[], int]:
    """The call, in the middle of which other threads come in."""

    def called() -> int:
        time.sleep(0)
        return call()

    return called


def test_no_nonce_comes_twice_on_any_number_of_threads(monkeypatch: Patch) -> None:
    nonces = Nonces(uses=50)
    taken: list[list[bytes]] = [[] for _ in range(4)]

    def take(mine: list[bytes]) -> None:
        mine += [nonce for count in (1, 7, 32) * 50 for nonce in nonces.take(count)]

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    monkeypatch.setattr("coldpress.cipher.os.getpid", switching(os.getpid))
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    every = [nonce for mine in taken for nonce in mine]
    assert {len(one) for one in every} == {NONCE_BYTES}
    assert len(set(every)) == len(every) == 8000
    prefixes = {one[:8] for one in every}
    assert len(prefixes) == 8000 // 50
    assert {one[8:] for one in every} == {n.to_bytes(4, "little") for n in range(50)}


def test_another_process_has_other_nonces(monkeypatch: Patch) -> None:
    nonces = Nonces()
    (first,) = nonces.take(1)
    here = os.getpid()
    monkeypatch.setattr("coldpress.cipher.os.getpid", lambda: here + 1)  # as after a fork
    assert nonces.take(1)[0][:8] != first[:8]


def test_no_nonce_is_on_a_device_twice(shape: Describe, key: str) -> None:
    config = shape()
    medium = Medium(bytes(2 << 20))
    for version in range(4):
        device = CrashDevice.over(medium, encrypt=key)
        with Pipeline(attrs.evolve(load_config(config), device=device), synchronous=True) as one:
            filled(one, version)
            for slot in range(version, SLOTS, 3):
                one.invalidate(slot)
    written = [memoryview(one.data) for one in medium._log if one.data]
    nonces = [bytes(one[92:104]) for one in written if bytes(one[:8]) == PERSISTENT_MAGIC]
    assert len(nonces) >= 10
    for block in (one for one in written if bytes(one[:4]) == MAGIC):
        nonces.append(read_auth(block)[0])
        for record in read_records(block):
            end = record.place + RECORD_BYTES + record.length
            nonces.append(bytes(block[end - NONCE_BYTES : end]))
    assert len(nonces) > 1000
    assert len(set(nonces)) == len(nonces)
