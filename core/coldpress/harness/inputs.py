"""The inputs of a run: files, directories, processes, or what the interpreter is made of."""

from __future__ import annotations

import os
import stat
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from coldpress.harness.corpus import Corpus, Spool
from coldpress.harness.errors import InputError
from coldpress.harness.memory import add_process

_NOT_THE_LIBRARY = ("site-packages", "dist-packages", "__pycache__")


def read_inputs(inputs: Sequence[str], page_size: int) -> Corpus:
    """The pages of all `inputs`, in their order, in pages of `page_size` bytes.

    An input is a file, a directory (its regular files in the order of their names, each once;
    links to directories are not followed, special files left out, unreadable ones skipped and
    counted) or "pid:N". Without any: the interpreter's standard library and shared libraries.

    Raises `InputError` if one does not exist, can not be read or has no page.
    """
    spool = Spool(page_size)
    try:
        for name in inputs:
            before = spool.pages
            if name.startswith("pid:"):
                add_process(spool, name)
            else:
                _add_path(spool, name)
            if spool.pages == before:
                raise InputError(f"--input {name}: it has no readable page")
        if not inputs:
            _add_files(spool, interpreter_files())
            if not spool.pages:
                raise InputError("the interpreter's own files can not be read: give an --input")
        return spool.corpus()
    finally:
        spool.close()


def interpreter_files() -> Iterator[Path]:
    """What this interpreter runs on: its library's files, then its shared libraries.

    Byte code is left out, since running makes it, and so are static libraries, which repeat the
    shared ones. Other people's packages are no part of the interpreter.
    """
    for path in _walk(Path(sysconfig.get_path("stdlib")), without=_NOT_THE_LIBRARY):
        if path.suffix != ".a":
            yield path
    library = Path(
        str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME"))
    )
    if ".so" in library.name and library.exists():
        yield library
    # What is mapped as code: the program, and every shared library that is loaded now.
    maps = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    names = {line[line.index("/") :] for line in maps if "x" in line.split()[1] and "/" in line}
    yield from map(Path, sorted(names))


def _add_path(spool: Spool, name: str) -> None:
    path = Path(name)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb", buffering=0) as stream:
                spool.add(stream)
        elif stat.S_ISDIR(mode):
            os.scandir(path).close()  # the named directory itself must be readable
            _add_files(spool, _walk(path, spool=spool))
        else:
            raise InputError(f"--input {name}: it is neither a file nor a directory")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(f"--input {name}: {getattr(error, 'strerror', None) or error}") from error


def _walk(root: Path, without: Collection[str] = (), spool: Spool | None = None) -> Iterator[Path]:
    """All names below `root` that are not directories, in a fixed order."""

    def unreadable(error: OSError) -> None:
        if spool:
            spool.skip(f"{error.filename}: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = sorted(set(folders).difference(without))
        for file in sorted(files):
            yield Path(folder, file)


def _add_files(spool: Spool, paths: Iterable[Path]) -> None:
    """Spool the regular ones of these files, each once, whatever it is called."""
    seen = set()
    for path in paths:
        try:
            status = path.stat()  # before the open: opening some devices has consequences
            identity = (status.st_dev, status.st_ino)
            if not stat.S_ISREG(status.st_mode) or identity in seen:
                continue
            seen.add(identity)
            with path.open("rb", buffering=0) as stream:
                spool.add(stream)
        except OSError as error:
            spool.skip(f"{path}: {error.strerror}")
