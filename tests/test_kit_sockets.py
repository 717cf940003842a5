"""What the kit for frontends sees of the sockets that listen."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from coldpress.testing.sockets import Listener, listeners

Open = Callable[[Path], socket.socket]


def tcp(address: str) -> Open:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return lambda folder: socket.create_server((address, 0), family=family)


def udp(address: str) -> Open:
    def opened(folder: Path) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
        return made

    return opened


def unix(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "socket"))
    made.listen()
    return made


@pytest.mark.parametrize(
    ("opened", "kind", "near"),
    [
        (tcp("127.0.0.1"), "tcp", True),
        (tcp("0.0.0.0"), "tcp", False),
        (tcp("::1"), "tcp6", True),
        (tcp("::"), "tcp6", False),
        (udp("127.0.0.1"), "udp", True),
        (udp("0.0.0.0"), "udp", False),
        (unix, "unix", True),
    ],
)
def test_a_socket_that_others_reach_is_told_from_one_they_do_not(
    opened: Open, kind: str, near: bool, tmp_path: Path
) -> None:
    before = listeners()
    try:
        made = opened(tmp_path)
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    with made:
        (found,) = listeners() - before
        assert (found.kind, found.is_near) == (kind, near)
        if kind == "unix":
            assert found == Listener("unix", str(tmp_path / "socket"))
    assert listeners() <= before


def test_what_does_not_listen_is_not_told(tmp_path: Path) -> None:
    before = listeners()
    with unix(tmp_path) as server, socket.socket(socket.AF_UNIX) as client:
        listening = listeners()
        client.connect(str(tmp_path / "socket"))
        with server.accept()[0]:
            assert listeners() == listening != before
