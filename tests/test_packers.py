"""The built-in packers: the common contract."""

from __future__ import annotations

from coldpress.testing import PackerTests
from coldpress_plugins.packers.aligned import Aligned
from coldpress_plugins.packers.bounce import Bounce
from coldpress_plugins.packers.page import PagePacker
from coldpress_plugins.packers.zsmalloc import ZsmallocPacker
from coldpress_plugins.packers.zspage import ZspagePacker


class TestBounce(PackerTests):
    plugin = Bounce


class TestZspage(PackerTests):
    plugin = ZspagePacker


class TestZsmalloc(PackerTests):
    plugin = ZsmallocPacker


class TestAligned(PackerTests):
    plugin = Aligned


class TestPage(PackerTests):
    plugin = PagePacker
