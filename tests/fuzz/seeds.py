"""Seeds for each target: what coldpress itself writes, and a little of what it does not.

`python -m tests.fuzz.seeds` writes them to the corpus.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs
import brotli
import lz4.block
import zstandard

from coldpress.block import EPOCH_AT, HEADER_BYTES, RECORD
from coldpress.roles.packer import KIND_OBJECT, KIND_TOMBSTONE, KIND_WORD
from coldpress.superblock import COMPRESSOR, KnownId, Superblock
from coldpress.testing.pages import PAGE
from tests.fuzz import CORPUS, images

FIRST = images.START + images.BLOCK
"""Where the first block is that has something in the template."""


def seeds() -> dict[str, list[bytes]]:
    """By target."""
    image = images.template()
    blocks = [image[at : at + images.BLOCK] for at in range(images.START, len(image), images.BLOCK)]
    superblock = Superblock(PAGE, 65536, 1000, 1 << 30, 1 << 20, bytes(16), 1, 2, 2, 0)
    dictionary = KnownId(1, COMPRESSOR, "zstd", {"level": 3}, b"a dictionary")
    head = struct.pack("<IB", FIRST + 48, 4) + struct.pack("<I", 3)  # a block's count
    record = struct.pack("<IB", FIRST + HEADER_BYTES, 24) + bytes(range(24))
    generation = struct.pack("<IB", 56, 8) + b"\xff" * 8
    length = struct.pack("<IB", 20, 4) + struct.pack("<I", 300)  # of the ids
    return {
        "superblock": [
            image[:256],
            superblock.encode(),
            attrs.evolve(superblock, ids=[dictionary]).encode(),
            superblock.encode()[:100],
        ],
        "block": [
            *(one.rstrip(b"\0") for one in blocks if any(one)),
            bytes(HEADER_BYTES) + RECORD.pack(KIND_TOMBSTONE << 56 | 0xFFFFFF, 1, 0, 3 << EPOCH_AT),
        ],
        "image": [
            b"\0",
            *(bytes([mended]) + part for mended in (0, 1) for part in (head, record)),
            b"\1" + generation,
            b"\1" + length,
            *(b"\1" + one for one in _records()),
            *(b"\1" + one for one in _words(image)),
        ],
        "records": list(_made()),
        "codec": [bytes([min(number, 3)]) + one for number, one in enumerate(_compressed())],
        "config": [
            b'[compressor]\nuse = "zstd"\nlevel = 3\n',
            b'slots = 1_000\npage_size = "4KiB"\n[device]\nuse = "memory"\nsize = "1GiB"\n',
            b'[writeback]\nhigh = "95%"\naccept = 0.9\n[cache]\npages = 4\n',
            b'entries = ["filled", "zswap"]\n[packer]\nuse = "zspage"\nblock = "64 KiB"\n',
        ],
        "trace": [
            b"\0W 1\nR 1 # again\n\nR 4294967295\n",
            b"\1" + struct.pack("<IIIHHQQ", 1, 4096, 1, 0x2A, 0x100, 8, 5),
            b"\2" + struct.pack("<IQIq", 1, 77, 8192, -1),
            b"\3" + struct.pack("<IQIq", 1, 77, 8192, -1) * 2,
        ],
    }


def _records() -> Iterator[bytes]:
    """Patches of the first block's first record, and of its header, that nothing should use."""
    at = FIRST + HEADER_BYTES
    shapes = (
        0xFFFFFF | 300 << 24 | 1 << 48 | KIND_OBJECT << 56,  # far behind the block
        200 | 0xFFFFFF << 24 | 1 << 48 | KIND_OBJECT << 56,  # longer than any
        200 | 1 << 48 | KIND_OBJECT << 56,  # no bytes at all
        600 | 300 << 24 | 1 << 48 | KIND_OBJECT << 56 | 15 << 60,  # a folio of 32,768 pages
        600 | 300 << 24 | 200 << 48 | KIND_WORD << 56,  # of an entry type that nobody knows
        600 | 300 << 24 | 1 << 48 | 9 << 56,
    )
    yield from (struct.pack("<IBQ", at, 8, shape) for shape in shapes)
    yield from (struct.pack("<IBI", at + 8, 4, slot) for slot in (images.SLOTS, (1 << 32) - 1))
    yield struct.pack("<IBQ", at + 16, 8, (1 << 64) - 1)  # newer than whatever comes
    for place, size in ((24, 4), (28, 4), (32, 8), (40, 8), (48, 4), (52, 4)):
        yield struct.pack("<IB", FIRST + place, size) + b"\xff" * size


def _words(image: bytes) -> Iterator[bytes]:
    """Patches that make words of types in RAM, and one of a payload that nobody stored."""
    lengths = image.index(b"filled") - 10  # of the name, the options, the data
    for name in (b"zswap", b"raw", b"packed", b"shadow", b"folio"):
        known = struct.pack("<HII", len(name), 8 - len(name), 0) + name + b"{}".rjust(8 - len(name))
        yield b"".join(
            struct.pack("<IB", at, len(known)) + known for at in (lengths, lengths + PAGE)
        )
    word = image.index(b"fill" + bytes(3), FIRST)  # the value of a page, as its record has it
    yield struct.pack("<IBQ", word, 8, 1 << 58 | 1 << 40)


def _made() -> Iterator[bytes]:
    """A record of each kind; folios; those whose copies are of other slots, orders and ages."""
    own, word, tombstone = 0x10 | KIND_OBJECT, 0x10 | KIND_WORD, KIND_TOMBSTONE
    first_word = len(images.bodies())
    some = [
        *((body, 16, order, own, 9, 0, 0, 0, 0) for body, order in enumerate((0, 1, 4))),
        (first_word, 3, 0, word, 9, 0, 0, 0, 0),
        (5, 4, 0, tombstone, 9, 0, 0, 0, 0),
        (0x80, 0, 2, own, 9, 0, 0, own, 9),
        (0x82, 0, 0, own, 9, 0, 2, own, 9),
    ]
    records = [struct.pack("<BIBBHIBBH", *one) for one in some]
    for kind in (0, 1, 8):
        yield from (bytes([kind]) + one for one in (*records, 4 * b"".join(records)))


def _compressed() -> Iterator[bytes]:
    """Pages, in the order of the compressors' names; of zstd one that tells that it is large."""
    page = bytes(range(256)) * (PAGE // 256)
    yield brotli.compress(page)
    yield lz4.block.compress(page, store_size=False)
    yield page
    for size in (PAGE, 16 * PAGE):
        plain = zstandard.ZstdCompressionParameters(
            format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=size > PAGE
        )
        yield zstandard.ZstdCompressor(compression_params=plain).compress(bytes(size))


def main() -> None:
    """Write them, under numbers."""
    for target, some in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(some):
            (folder / str(number)).write_bytes(data)


if __name__ == "__main__":
    main()
