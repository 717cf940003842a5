"""AES-256-GCM for what goes to a device: keys, nonces, and sealing with them.

Needs the package `cryptography`, so it is imported only where a device is encrypted.
"""

from __future__ import annotations

import os
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coldpress.component import Buffer
from coldpress.keyfile import KEY_BYTES
from coldpress.layout import NONCE_BYTES

_PREFIX_BYTES = 8
_USES = 1 << 8 * (NONCE_BYTES - _PREFIX_BYTES)
_INFO = b"coldpress device 1"


class Nonces:
    """Numbers used once: a random prefix of 8 bytes, and a counter of 4.

    A new prefix comes at the beginning, after `uses` nonces, and in a child process, which has the
    same key.

    Notes: thread-safe.
    """

    def __init__(self, uses: int = _USES) -> None:
        self._uses = uses
        self._lock = threading.Lock()
        self._renew()

    def take(self, count: int) -> list[bytes]:
        """The next so many nonces, each of 12 bytes."""
        with self._lock:
            taken = []
            if self._process != os.getpid():
                self._renew()
            for _ in range(count):
                if self._used == self._uses:
                    self._renew()
                number = self._used.to_bytes(NONCE_BYTES - _PREFIX_BYTES, "little")
                taken.append(self._prefix + number)
                self._used += 1
            return taken

    def _renew(self) -> None:
        self._prefix = os.urandom(_PREFIX_BYTES)
        self._process = os.getpid()
        self._used = 0


class Cipher:
    """Seals and opens what belongs to the devices with one uuid.

    What is sealed is bound to the uuid and to `about`, which tells what it is: opened as anything
    else it fails. `about` begins with a byte that no other kind of thing has.

    Notes: thread-safe.
    """

    def __init__(self, key: bytes, uuid: bytes) -> None:
        self._aead = AESGCM(key)
        self._uuid = uuid
        self._nonces = Nonces()

    @classmethod
    def ephemeral(cls, uuid: bytes) -> Cipher:
        """One with a random key, which nobody else will ever have."""
        return cls(os.urandom(KEY_BYTES), uuid)

    @classmethod
    def of_key(cls, key: bytes, uuid: bytes) -> Cipher:
        """One for this uuid, of a key that serves several; `read_key_file` has one.

        By HKDF with SHA-256 (RFC 5869), the uuid as salt.
        """
        return cls(HKDF(SHA256(), KEY_BYTES, salt=uuid, info=_INFO).derive(key), uuid)

    def nonces(self, count: int) -> list[bytes]:
        """So many nonces, each for one call of `seal`."""
        return self._nonces.take(count)

    def seal(self, plain: Buffer, nonce: bytes, about: bytes) -> bytes:
        """The encrypted bytes, and 16 of tag behind them."""
        return self._aead.encrypt(nonce, plain, self._uuid + about)

    def open(self, sealed: Buffer, nonce: Buffer, about: bytes) -> bytes:
        """What was sealed. Raises `ValueError` if it was not, with this key and as this."""
        try:
            return self._aead.decrypt(nonce, sealed, self._uuid + about)
        except (InvalidTag, ValueError):  # the latter if they are too few for a tag
            raise ValueError("authentication failed") from None
