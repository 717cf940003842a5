"""The config key `encrypt`, and the file with a key that it may name."""

from __future__ import annotations

import os
import stat
from importlib.util import find_spec
from typing import Any

import attrs

EPHEMERAL = "ephemeral"
"""Not a path: a random key, which is gone when the pipeline is closed."""

KEY_BYTES = 32

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAKE = "(umask 077; head -c 32 /dev/urandom > KEYFILE)"


def encrypt_option(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    """Validator of `encrypt`: "", "ephemeral" or the path of a key file that can be used."""
    if not value:
        return
    if find_spec("cryptography") is None:
        raise ValueError("needs the package 'cryptography': pip install 'coldpress[encrypt]'")
    if value != EPHEMERAL:
        read_key_file(value)


def read_key_file(path: str) -> bytes:
    """The key in the file: 32 bytes that its owner alone can read. Raises `ValueError`."""
    try:
        # Without O_NONBLOCK a named pipe would wait for someone who writes.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path has a zero byte"
        raise ValueError(f"can not read the key file {path!r}: {why}; {_MAKE} makes one") from None
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"the key file {path!r} is no regular file")
        if mode & _OTHERS:
            raise ValueError(f"others have access to the key file {path!r}: chmod 600 it")
        key = os.read(fd, KEY_BYTES + 1)
    except OSError as error:
        raise ValueError(f"can not read the key file {path!r}: {error.strerror}") from None
    finally:
        os.close(fd)
    if len(key) != KEY_BYTES:
        size = f"{len(key)}" if len(key) < KEY_BYTES else f"more than {KEY_BYTES}"
        raise ValueError(
            f"the key file {path!r} has {size} bytes, not {KEY_BYTES}; {_MAKE} makes one"
        )
    return key
