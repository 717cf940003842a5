"""The built-in plugins, found through the entry-point group `coldpress` like anyone's."""

from __future__ import annotations

import coldpress
from coldpress import hookimpl


@hookimpl
def coldpress_compressors() -> list[type[coldpress.Compressor]]:
    from coldpress_plugins.compressors.brotli import Brotli
    from coldpress_plugins.compressors.lz4 import Lz4
    from coldpress_plugins.compressors.none import NoCompression
    from coldpress_plugins.compressors.zstd import Zstd

    return [Lz4, Zstd, Brotli, NoCompression]


@hookimpl
def coldpress_allocators() -> list[type[coldpress.Allocator]]:
    from coldpress_plugins.allocators.zbud import Zbud
    from coldpress_plugins.allocators.zsmalloc import Zsmalloc

    return [Zsmalloc, Zbud]


@hookimpl
def coldpress_entry_types() -> list[type[coldpress.EntryType]]:
    from coldpress_plugins.entry_types.filled import Filled
    from coldpress_plugins.entry_types.folio import Folio
    from coldpress_plugins.entry_types.packed import Packed
    from coldpress_plugins.entry_types.raw import Raw
    from coldpress_plugins.entry_types.shadow import Shadow
    from coldpress_plugins.entry_types.zswap import Zswap

    return [Filled, Zswap, Raw, Packed, Shadow, Folio]


@hookimpl
def coldpress_policies() -> list[type[coldpress.Policy]]:
    from coldpress_plugins.policies.clock import Clock
    from coldpress_plugins.policies.fifo import Fifo
    from coldpress_plugins.policies.lru import Lru
    from coldpress_plugins.policies.s3fifo import S3Fifo
    from coldpress_plugins.policies.sieve import Sieve

    return [Lru, Clock, Fifo, Sieve, S3Fifo]


@hookimpl
def coldpress_packers() -> list[type[coldpress.Packer]]:
    from coldpress_plugins.packers.aligned import Aligned
    from coldpress_plugins.packers.bounce import Bounce
    from coldpress_plugins.packers.page import PagePacker
    from coldpress_plugins.packers.zsmalloc import ZsmallocPacker
    from coldpress_plugins.packers.zspage import ZspagePacker

    return [Bounce, ZspagePacker, ZsmallocPacker, Aligned, PagePacker]


@hookimpl
def coldpress_devices() -> list[type[coldpress.Device]]:
    from coldpress_plugins.devices.file import FileDevice
    from coldpress_plugins.devices.memory import MemoryDevice
    from coldpress_plugins.devices.nvme import NvmeDevice

    return [MemoryDevice, FileDevice, NvmeDevice]
