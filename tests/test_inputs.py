from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coldpress import ColdpressError
from coldpress.harness import corpus as corpus_module
from coldpress.harness import memory
from coldpress.harness.corpus import Spool
from coldpress.harness.errors import InputError
from coldpress.harness.inputs import interpreter_files, read_inputs

PAGE = 4096


def pages_of(*names: object, size: int = PAGE) -> list[bytes]:
    with read_inputs([str(name) for name in names], size) as corpus:
        return [bytes(corpus[i]) for i in range(len(corpus))]


def test_a_last_partial_page_is_padded_with_zeros(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (PAGE + 1))
    (tmp_path / "b").write_bytes(b"y" * PAGE)
    assert pages_of(tmp_path) == [b"x" * PAGE, b"x".ljust(PAGE, b"\0"), b"y" * PAGE]


def test_pages_are_as_long_as_the_pipelines(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 20000)
    assert [len(page) for page in pages_of(tmp_path, size=16384)] == [16384, 16384]


def test_inputs_keep_their_order_and_directories_are_sorted(tmp_path: Path) -> None:
    for name in ("z", "d/b", "d/a", "d/c/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = [page.rstrip(b"\0") for page in pages_of(tmp_path / "z", tmp_path / "d")]
    assert found == [b"z", b"d/a", b"d/b", b"d/c/x"]


def test_a_file_larger_than_the_copying_buffer(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 5)
    (tmp_path / "a").write_bytes(data)
    assert b"".join(pages_of(tmp_path / "a"))[: len(data)] == data


def test_what_is_not_a_file_of_the_directory_is_left_out(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "hidden").write_bytes(b"elsewhere")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"one")
    (folder / "again").hardlink_to(folder / "file")
    (folder / "link").symlink_to(folder / "file")
    (folder / "outside").symlink_to(other)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert pages_of(folder) == [b"one".ljust(PAGE, b"\0")]


def test_unreadable_files_of_a_directory_are_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "forbidden").write_bytes(b"f")
    _refuse(monkeypatch, "forbidden")
    with read_inputs([str(tmp_path)], PAGE) as corpus:
        assert len(corpus) == 1
        assert corpus.skipped == 2
        assert "dangling" in corpus.first_skipped


def _refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = Path.open

    def open_(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_)  # the tests may run as root, who may read all


def test_a_named_file_that_can_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "forbidden").write_bytes(b"f")
    _refuse(monkeypatch, "forbidden")
    with pytest.raises(InputError, match=r"--input .*forbidden: Permission denied"):
        pages_of(tmp_path / "forbidden")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "No such file"),
        ("empty", "no readable page"),
        ("folder", "no readable page"),
        ("pipe", "neither a file nor a directory"),
        ("a\0b", "null|zero"),
    ],
)
def test_an_input_without_pages_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=message):
        pages_of(tmp_path / "good", f"{tmp_path}/{name}")


def test_a_file_that_fails_half_way_leaves_nothing_behind() -> None:
    class Failing:
        reads = 0

        def readinto(self, buffer: bytearray) -> int:
            self.reads += 1
            if self.reads > 1:
                raise OSError(5, "Input/output error")
            buffer[:6000] = b"x" * 6000
            return 6000

    spool = Spool(PAGE)
    spool.add_bytes(b"before")
    with pytest.raises(OSError, match="Input/output"):
        spool.add(Failing())
    spool.add_bytes(b"after")
    with spool.corpus() as corpus:
        found = [bytes(corpus[i]).rstrip(b"\0") for i in range(len(corpus))]
    assert found == [b"before", b"after"]


def test_no_room_for_the_spool_is_not_taken_for_an_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, data: memoryview) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(corpus_module.tempfile, "TemporaryFile", lambda **kwargs: Full())
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(ColdpressError, match=r"can not spool the input in .*No space left") as info:
        pages_of(tmp_path)
    assert not isinstance(info.value, InputError)


def test_the_corpus_is_a_snapshot_and_read_only(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with read_inputs([str(tmp_path / "a")], PAGE) as corpus:
        (tmp_path / "a").write_bytes(b"afterw")
        page = corpus[0]
        assert bytes(page[:6]) == b"before"
        assert page.readonly
        with pytest.raises(IndexError):
            corpus[1]
        with pytest.raises(IndexError):
            corpus[-1]
    assert bytes(page[:6]) == b"before"  # a view outlives the corpus


def test_the_interpreter_is_input_enough() -> None:
    files = list(interpreter_files())
    assert files == list(interpreter_files())
    sizes = {path.resolve(): path.stat().st_size for path in files if path.exists()}
    others = [path for path in files if {"site-packages", "__pycache__"} & set(path.parts)]
    assert all(".so" in path.name for path in others)  # libraries that the process has loaded
    assert any(".so" in path.name for path in files)
    library = {path.resolve() for path in Path(os.__file__).resolve().parent.glob("[!_s]*/*.*")}
    wanted = {path for path in library if path.is_file() and path.suffix not in (".a", ".pyc")}
    assert wanted <= set(sizes)
    assert not [path for path in files if path.suffix == ".a"]
    with read_inputs([], PAGE) as corpus:
        assert len(corpus) >= sum(sizes.values()) // PAGE
        if (Path(os.__file__).parent / "test").is_dir():  # a whole standard library
            assert len(corpus) * PAGE >= 64 << 20


CHILD = """
import mmap, sys
used = mmap.mmap(-1, 64 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
unused = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
shared = mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
opened = open(sys.argv[1], "rb")
file = mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
shared[:10] = b"s" + b"h" * 9
file[0]
for page in range(64):
    used[page * 4096 : page * 4096 + 4096] = bytes([page]) * 4095 + b"!"
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("size", [4096, 65536])
def test_the_anonymous_memory_of_a_process(tmp_path: Path, size: int) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(b"a page of a file".ljust(4096, b"f"))
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            os.close(os.open(f"/proc/{child.pid}/mem", os.O_RDONLY))
            os.close(os.open(f"/proc/{child.pid}/pagemap", os.O_RDONLY))
        except PermissionError as error:
            child.stdin.close()
            pytest.skip(f"this system does not let one look into a child's memory: {error}")
        found = pages_of(f"pid:{child.pid}", size=size)
        child.stdin.close()
    small = {page[at : at + 4096] for page in found for at in range(0, size, 4096)}
    assert {bytes([page]) * 4095 + b"!" for page in range(64)} <= small
    assert len(found) * size < 256 << 20  # what was never touched is not there
    assert not any(page.startswith(b"s" + b"h" * 9) for page in small)
    assert file.read_bytes() not in small


def test_processes_that_can_not_be_read() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    for name, message in [
        (f"pid:{child.pid}", "no such process"),
        ("pid:-1", "expected pid: and a process number"),
        ("pid:self", "expected pid: and a process number"),
        ("pid:", "expected pid: and a process number"),
    ]:
        with pytest.raises(InputError, match=message):
            pages_of(name)


def _process(tmp_path: Path, pagemap: bool) -> Path:
    """A look-alike of /proc/7: ten pages from 0x1000 on, the page at 0x4000 was never touched."""
    home = tmp_path / "7"
    home.mkdir()
    memory_file = b"\0" * PAGE + b"".join(bytes([n]) * PAGE for n in range(1, 11))
    (home / "mem").write_bytes(memory_file)
    (home / "maps").write_text(
        "1000-6000 rw-p 00000000 00:00 0 \n"
        "6000-7000 rw-s 00000000 00:01 5 /dev/zero (deleted)\n"
        "7000-8000 r--p 00000000 08:01 9 /lib/a b.so\n"
        "8000-9000 ---p 00000000 00:00 0 \n"
        "9000-a000 r--p 00000000 00:00 0                          [vvar]\n"
        "a000-c000 rw-p 00000000 00:00 0                          [heap]\n"  # b000 can not be read
    )
    if pagemap:
        present, swapped, file = 1 << 63, 1 << 62, 1 << 61
        flags = [
            0,
            present,
            swapped,
            present,
            0,
            present,
            present,
            present | file,
            present,
            present,
        ]
        flags += [present, present]
        (home / "pagemap").write_bytes(b"".join(flag.to_bytes(8, "little") for flag in flags))
    return tmp_path


@pytest.mark.parametrize(
    ("pagemap", "wanted"), [(True, [1, 2, 3, 5, 10]), (False, [1, 2, 3, 4, 5, 10])]
)
def test_which_pages_of_a_process_are_taken(
    tmp_path: Path, pagemap: bool, wanted: list[int]
) -> None:
    spool = Spool(PAGE)
    memory.add_process(spool, "pid:7", _process(tmp_path, pagemap))
    with spool.corpus() as corpus:
        assert [corpus[i][0] for i in range(len(corpus))] == wanted
        assert corpus.skipped == 1
        assert "pid:7, address 0xb000" in corpus.first_skipped
