"""Nonces: none comes twice, on any thread, in another process or on a device."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import attrs
import pytest
from encrypted import SLOTS, Describe, filled
from forgeries import read_records

from coldpress import Pipeline
from coldpress.block import MAGIC, RECORD_BYTES, read_auth
from coldpress.cipher import Nonces
from coldpress.config import load_config
from coldpress.layout import NONCE_BYTES, PERSISTENT_MAGIC
from coldpress.testing.crash import CrashDevice, Medium

Patch = pytest.MonkeyPatch


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
