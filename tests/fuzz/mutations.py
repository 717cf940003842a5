"""Changes by chance, for where no coverage guides them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 64) - 1)


def mutations(seeds: Sequence[bytes], count: int, rng: random.Random) -> Iterator[bytes]:
    """So many, each of one of the seeds: bytes set, numbers written, parts cut, copied, joined."""
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(5):
                case 0:
                    data[at : at + 1] = rng.randbytes(1)
                case 1:
                    size = rng.choice((1, 2, 4, 8))
                    number = rng.choice(_NUMBERS) % (1 << 8 * size)
                    data[at : at + size] = number.to_bytes(size, "little")
                case 2:
                    del data[at : at + rng.randrange(1, 32)]
                case 3:
                    data[at:at] = data[at : at + rng.randrange(1, 64)]
                case _:
                    other = rng.choice(seeds)
                    data[at:] = other[rng.randrange(len(other) + 1) :]
        yield bytes(data)
