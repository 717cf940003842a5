"""An encrypted device: who can open it, and that it is what the format says."""

from __future__ import annotations

import hmac
import struct
from pathlib import Path

import attrs
import pytest
from contents import holds
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from encrypted import BLOCK, SLOTS, Describe, filled, keyed
from keys import key_file

import coldpress
from coldpress import ConfigError
from coldpress.cipher import Cipher
from coldpress.cli import main
from coldpress.layout import superblock_area
from coldpress.superblock import decode
from coldpress.testing.pages import PAGE, same


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
    size = 4 << 20  # superblock B of such a device is somewhere else
    raised = attrs.evolve(
        decode(memoryview(image)[newest:]),
        generation=1 << 30,
        slots=SLOTS * 2,
        size=size,
        area=superblock_area(PAGE, size, persistent=True),
        encrypted=sealed,
    )
    forged = raised.encode(Cipher.of_key(bytes(32), raised.uuid) if sealed else None)
    for at in (0, area):  # it need not be the newest
        changed = bytearray(image)
        changed[at : at + len(forged)] = forged
        path = tmp_path / "changed.img"
        path.write_bytes(changed)
        call = ["--key", key, str(path)]
        assert (main(["inspect", *call]), main(["fsck", *call])) == (0, 1)
        path.rename(tmp_path / "cold.img")
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
