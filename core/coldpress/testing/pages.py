"""Pages for tests: each kind meets another path, and each carries its slot and version."""

from __future__ import annotations

import random

PAGE = 4096
KINDS = ("zero", "word", "wide", "text", "mixed", "noise")


def same(found: object, expected: object) -> bool:
    """Whether these bytes are equal.

    A bare `==` in an assertion would have pytest look for the differences of two pages, where it
    runs in CI, which takes minutes.
    """
    return found == expected


def page(kind: str, slot: int, version: int) -> bytes:
    """A page of one of the KINDS, different for each slot and version but for `zero`."""
    stamp = slot.to_bytes(4, "little") + version.to_bytes(4, "little")
    if kind == "zero":
        return bytes(PAGE)
    if kind == "word":  # a fill word of which the lower half alone says all
        return (slot << 16 | version & 0xFFFF).to_bytes(4, "little") * (PAGE // 4)
    if kind == "wide":  # a fill word that no table word has room for
        return (stamp[:7] + b"\xfe") * (PAGE // 8)
    rng = random.Random(f"{kind}{slot}{version}")
    if kind == "text":
        body = b"".join(b"line %d of %d\n" % (i, rng.randrange(99)) for i in range(600))
    elif kind == "mixed":
        body = rng.randbytes(rng.randrange(64, PAGE - 64)) + bytes(PAGE)
    else:
        body = rng.randbytes(PAGE)
    return stamp + body[: PAGE - len(stamp)]


def any_page(slot: int, version: int) -> bytes:
    """A page whose kind varies with slot and version."""
    return page(KINDS[(slot * 7 + version * 5) % len(KINDS)], slot, version)
