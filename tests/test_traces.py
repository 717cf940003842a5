from __future__ import annotations

import os
import struct
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.harness.errors import InputError
from coldpress.harness.trace import Trace

PAGE = 4096
READ, WRITE = 0x28, 0x2A
CLOUDPHYSICS = Path(__file__).parents[2] / "shared" / "data" / "cloudphysics.vscsi"


def vscsi(*requests: tuple[int, int, int], version: int = 0x100) -> bytes:
    """Records of (command, first sector, bytes)."""
    return b"".join(
        struct.pack("<IIIHHQQ", n, length, 1, command, version, sector, 1000 * n)
        for n, (command, sector, length) in enumerate(requests)
    )


def oracle_general(*requests: tuple[int, int]) -> bytes:
    """Records of (object, size)."""
    return b"".join(struct.pack("<IQIq", n, *one, -1) for n, one in enumerate(requests))


def touches(path: Path, page_size: int = PAGE) -> list[tuple[int, bool]]:
    trace = Trace(str(path), page_size)
    found = list(trace)
    assert found == list(trace)  # the second time as the first
    assert trace.total == len(found)
    assert trace.slots == max(slot for slot, _ in found) + 1
    assert not trace.fill
    return found


def test_vscsi_touches_each_page_of_a_request_in_order_of_first_touch(tmp_path: Path) -> None:
    file = tmp_path / "a.vscsi"
    file.write_bytes(
        vscsi(
            (WRITE, 800, 8192),  # pages 100, 101
            (READ, 801, 4096),  # from the middle of page 100 into 101
            (READ, 0, 512),  # page 0
            (WRITE, 807, 512),  # the last sector of page 100
            (READ, 807, 1024),  # it, and the first of 101
            (READ, 9, 0),  # nothing
        )
    )
    w, r = True, False
    assert touches(file) == [(0, w), (1, w), (0, r), (1, r), (2, r), (0, w), (0, r), (1, r)]


def test_requests_are_cut_in_the_pipelines_pages(tmp_path: Path) -> None:
    file = tmp_path / "a.vscsi"
    file.write_bytes(vscsi((WRITE, 800, 8192), (READ, 768, 512)))
    assert touches(file, 65536) == [(0, True), (0, False)]


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 20000)), min_size=1, max_size=40))
def test_vscsi_against_a_byte_by_byte_reading(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int]]
) -> None:
    file = tmp_path_factory.mktemp("trace") / "a.vscsi"
    file.write_bytes(vscsi(*((READ, sector, length) for sector, length in requests)))
    numbers: dict[int, int] = {}
    expected = []
    for sector, length in requests:
        pages = dict.fromkeys(byte // PAGE for byte in range(sector * 512, sector * 512 + length))
        expected += [(numbers.setdefault(page, len(numbers)), False) for page in pages]
    assert touches(file) == expected


def test_oracle_general_objects_do_not_overlap(tmp_path: Path) -> None:
    file = tmp_path / "a.oracleGeneral.bin"
    big = 2**64 - 1
    file.write_bytes(oracle_general((7, 8192), (8, 1), (7, 4097), (big, 4096), (7, 12288), (8, 0)))
    assert [slot for slot, _ in touches(file)] == [0, 1, 2, 0, 1, 3, 0, 1, 4]
    assert not any(write for _, write in touches(file))


def test_text_keeps_its_slot_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("# a comment\n\nW 5\r\nR 5\n  R   2   # another\nW 0")
    assert touches(file) == [(5, True), (5, False), (2, False), (0, True)]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (vscsi((WRITE, 8, 4096)), "vscsi"),
        (vscsi(*[(READ, 8, 4096)] * 300), "vscsi"),
        (oracle_general((7, 4096)), "oracleGeneral"),
        (oracle_general(*[(n, 4096) for n in range(300)]), "oracleGeneral"),
        (b"W 1\nR 1\n", "text"),
        (b"# only later\n" * 500 + b"W 1\n", "text"),
    ],
)
def test_the_contents_decide_where_the_name_does_not(
    tmp_path: Path, data: bytes, name: str
) -> None:
    file = tmp_path / "trace"
    file.write_bytes(data)
    assert Trace(str(file), PAGE).name == f"trace, {name}"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "a.vscsi",
            vscsi((READ, 0, 512), (READ, 0, 512))[:-1],
            "record 2: expected 32 bytes.* 31$",
        ),
        ("a.vscsi", vscsi((READ, 0, 512), (0x35, 0, 512)), "record 2: expected command .*got 0x35"),
        (
            "a.vscsi",
            vscsi((READ, 0, 512), version=0x200),
            "record 1: expected version .*got 0x0200",
        ),
        ("a.vscsi", vscsi(*[(READ, 0, 512)] * 9000)[:-7], "record 9000: expected 32 bytes.* 25$"),
        ("a.oracleGeneral", oracle_general((1, 1))[:23], "record 1: expected 24 bytes.* 23$"),
        ("a.txt", b"W 1\nX 2\n", "line 2: expected 'W slot' or 'R slot', got 'X 2'"),
        ("a.txt", b"W 1\n\nR -2\n", "line 3: expected 'W slot' or 'R slot', got 'R -2'"),
        ("a.txt", b"W 1 2\n", "line 1: expected"),
        ("a.txt", b"W \xb2\n", "line 1: expected"),
        ("a.txt", b"W " + b"9" * 5000, "line 1: expected"),
        ("a.txt", b"# nothing\n", "no request"),
        ("a.vscsi", b"", "no request"),
        ("a.vscsi", vscsi((READ, 0, 0)), "no request"),
        ("a", b"", "no request"),
        ("a", bytes(range(255, 0, -1)), "none of vscsi, oracleGeneral and text"),
        ("a.zst", b"\x28\xb5\x2f\xfd....", "compressed: unpack it"),
    ],
)
def test_a_broken_trace_says_where_and_what_was_expected(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(InputError, match=message) as info:
        Trace(str(file), PAGE)
    assert str(info.value).startswith(f"--trace {file}: ")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.vscsi", vscsi((READ, 0, 512), (READ, 0, 1 << 31)), "record 2: .* at most 1GiB"),
        ("a.oracleGeneral", oracle_general((1, 2**32 - 1)), "record 1: .* at most 1GiB"),
        ("a.txt", b"R 4294967293\nW 4294967294\n", "line 2: .* a slot below 4294967294"),
    ],
)
def test_a_request_that_would_be_millions_is_refused(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(InputError, match=message):
        Trace(str(file), PAGE)


def test_a_trace_numbers_so_many_pages_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coldpress.harness.trace._MOST_PAGES", 8)
    file = tmp_path / "a.vscsi"
    file.write_bytes(vscsi((READ, 0, 8 * PAGE), (READ, 8, PAGE)))
    assert Trace(str(file), PAGE).slots == 8
    file.write_bytes(vscsi((READ, 0, 9 * PAGE)))
    with pytest.raises(InputError, match="more than 8 pages"):
        Trace(str(file), PAGE)


def test_a_trace_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in [
        ("missing", "No such file"),
        ("", "not a file"),
        ("pipe", "not a file"),
        ("a\0b", "null|zero"),
    ]:
        with pytest.raises(InputError, match=message):
            Trace(f"{tmp_path}/{name}", PAGE)


def test_a_trace_that_changes_under_the_run_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.vscsi"
    file.write_bytes(vscsi((READ, 0, 512)))
    trace = Trace(str(file), PAGE)
    file.write_bytes(vscsi((READ, 0, 512), (READ, 8, 512)))
    with pytest.raises(InputError, match="was changed"):
        list(trace)


def test_a_long_trace_is_not_read_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.vscsi"
    file.write_bytes(vscsi(*[(READ, 0, 512)] * 10000))
    trace = Trace(str(file), PAGE)
    rest = iter(trace)
    assert len(list(islice(rest, 5000))) == 5000
    file.write_bytes(b"")
    assert len(list(rest)) < 5000


def test_a_real_trace_gives_the_numbers_known_of_it() -> None:
    if not CLOUDPHYSICS.exists():
        pytest.skip(f"{CLOUDPHYSICS.name} is not beside the repository")
    trace = Trace(str(CLOUDPHYSICS), PAGE)
    assert (trace.total, trace.slots) == (1_141_869, 269_210)
