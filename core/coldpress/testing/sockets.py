"""The sockets of this process that others can reach, as the kernel lists them (proc(5))."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from coldpress.testing.leftovers import descriptors

_LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # the state of one that does
_ACCEPTS = 1 << 16  # in the flags of a unix socket


@attrs.frozen
class Listener:
    """A socket that listens: an IP address, or the path of a unix socket."""

    kind: str
    address: str

    @property
    def is_near(self) -> bool:
        """Whether none but this machine's processes reach it."""
        if self.kind == "unix":
            return True
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)


def listeners() -> set[Listener]:
    """Those of this process."""
    links = (str(entry.readlink()) for entry in descriptors())
    own = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    return {found for inode, found in _listed() if inode in own}


def _listed() -> Iterator[tuple[str, Listener]]:
    """All in this network, each with its inode."""
    for kind, state in _LISTENING.items():
        for fields in _rows(kind):
            if fields[3] == state:
                yield fields[9], Listener(kind, _address(fields[1].partition(":")[0]))
    for fields in _rows("unix"):
        if int(fields[3], 16) & _ACCEPTS:
            yield fields[6], Listener("unix", fields[7] if len(fields) > 7 else "")


def _rows(kind: str) -> list[list[str]]:
    try:
        text = Path(f"/proc/net/{kind}").read_text()
    except FileNotFoundError:  # a kernel without IPv6
        return []
    return [line.split(maxsplit=11) for line in text.splitlines()[1:]]


def _address(digits: str) -> str:
    """The kernel prints each four bytes as a number of the machine's own byte order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words)))
