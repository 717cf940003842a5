"""The built-in compressors: the common contract."""

from __future__ import annotations

from typing import Any, ClassVar

from coldpress.testing import CompressorTests
from coldpress_plugins.compressors.brotli import Brotli
from coldpress_plugins.compressors.lz4 import Lz4
from coldpress_plugins.compressors.none import NoCompression
from coldpress_plugins.compressors.zstd import Zstd


class TestLz4(CompressorTests):
    plugin = Lz4


class TestZstd(CompressorTests):
    plugin = Zstd


class TestDenseZstd(CompressorTests):
    plugin = Zstd
    options: ClassVar[dict[str, Any]] = {"level": 9}
    examples = 10


class TestBrotli(CompressorTests):
    plugin = Brotli


class TestNoCompression(CompressorTests):
    plugin = NoCompression
