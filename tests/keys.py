"""Key files for encrypted devices."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path


def key_file(folder: Path, name: str = "key", key: bytes | None = None) -> str:
    """The path of a new key file, with a random key if none is given."""
    path = folder / name
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(os.urandom(32) if key is None else key)
    return str(path)


@functools.cache
def shared_key() -> str:
    """The path of one for all tests, which is removed at the end."""
    folder = tempfile.mkdtemp(prefix="coldpress-key-")
    atexit.register(shutil.rmtree, folder)
    return key_file(Path(folder))
