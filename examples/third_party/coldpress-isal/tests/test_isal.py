"""The kit, and what of deflate through ISA-L it does not know of."""

from __future__ import annotations

import random
import zlib
from typing import ClassVar

import pytest

from coldpress.testing import CompressorTests
from coldpress_isal import Isal

PAGE = 4096
TEXT = b"".join(b"%d bottles of beer on the wall\n" % (n % 99) for n in range(PAGE))[:PAGE]


class TestIsal(CompressorTests):
    plugin = Isal


class TestDensest(CompressorTests):
    plugin = Isal
    options: ClassVar = {"level": 3}


def opened(level: int = 1) -> Isal:
    compressor = Isal(level=level)
    compressor.open()
    return compressor


@pytest.mark.parametrize("level", range(4))
def test_objects_are_bare_deflate_streams(level: int) -> None:
    data = opened(level).compress(TEXT)
    assert zlib.decompress(data, wbits=-zlib.MAX_WBITS) == TEXT


def test_streams_of_others_can_be_read() -> None:
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    data = stream.compress(TEXT) + stream.flush()
    assert opened().decompress(data, PAGE) == TEXT


def test_what_is_not_one_whole_stream_of_that_size_is_an_error() -> None:
    compressor = opened()
    data = compressor.compress(TEXT)
    for damaged, size, why in [
        (data[:-1], PAGE, "does not end"),
        (b"", PAGE, "does not end"),
        (data, PAGE - 1, "does not end"),  # a longer page
        (data, PAGE + 1, "does not end"),  # a shorter one
        (data + b"\0", PAGE, "1 bytes follow"),
    ]:
        with pytest.raises(ValueError, match=why):
            compressor.decompress(damaged, size)


def test_no_folio_ends_in_the_middle_of_a_stream() -> None:
    rng = random.Random(1)
    for number in range(400):
        size = PAGE << rng.randrange(5)
        kind = number % 3
        if kind == 0:
            folio = rng.randbytes(size)
        elif kind == 1:
            folio = (rng.randbytes(rng.randrange(1, 500)) * size)[:size]
        else:
            folio = bytes(rng.choices(b"abcdefgh \n", k=size))
        compressor = opened(number % 4)
        assert compressor.decompress(compressor.compress(folio), size) == folio


def test_a_level_that_there_is_not_is_refused() -> None:
    for level in (-1, 4):
        with pytest.raises(ValueError, match="level"):
            Isal(level=level)
