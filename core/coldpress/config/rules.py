"""The checks that look at more than one key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coldpress.config.document import Path
from coldpress.config.schema import PipelineConfig
from coldpress.folio import MAX_BYTES
from coldpress.keyfile import EPHEMERAL
from coldpress.layout import SEAL_BYTES, STAGED_SHARE, seal_bytes, smallest_device
from coldpress.roles import DeviceEntryType
from coldpress.units import Percent, format_size
from coldpress.values import written


def across(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[list[Path], str]]:
    """What is wrong between keys: the keys concerned, the most telling one first, and a text.

    `tables` maps a table's name ("" for the top level) to its values, defaults included. A key
    whose own value is wrong is not there, and nothing is said of it.
    """
    page_size = tables[""].get("page_size")
    block = tables["packer"].get("block")
    limit = tables["allocator"].get("limit")
    size = tables["device"].get("size")
    high = tables["writeback"].get("high")
    accept = tables["writeback"].get("accept")
    if page_size and block is not None and block % page_size:
        yield (
            [("packer", "block"), ("page_size",)],
            f"'block' in [packer]: must be a multiple of page_size, {format_size(page_size)}, "
            f"got {format_size(block)}",
        )
    if block and limit is not None and limit < 2 * block:
        yield (
            [("allocator", "limit"), ("packer", "block")],
            f"'limit' in [allocator]: must be at least {format_size(2 * block)}, one block of "
            f"{format_size(block)} in the pool and one staged, got {format_size(limit)}",
        )
    persistent = bool(tables["device"].get("persistent"))
    encrypt = tables["device"].get("encrypt")
    if encrypt == EPHEMERAL and persistent:
        yield (
            [("device", "encrypt"), ("device", "persistent")],
            f"'encrypt' in [device]: with {EPHEMERAL!r} nobody could open a persistent device "
            "again; name a key file",
        )
    if encrypt and encrypt != EPHEMERAL and not persistent and "persistent" in tables["device"]:
        yield (
            [("device", "encrypt"), ("device", "persistent")],
            "'encrypt' in [device]: a key file is for persistent = true; what is forgotten at "
            f"close needs {EPHEMERAL!r}",
        )
    if encrypt and page_size and page_size + SEAL_BYTES > MAX_BYTES:
        yield (
            [("page_size",), ("device", "encrypt")],
            f"'page_size': must be at most {format_size(MAX_BYTES // 2)} with 'encrypt' in "
            f"[device], got {format_size(page_size)}",
        )
    smallest = smallest_device(page_size, block, persistent) if page_size and block else 0
    if block and size is not None and size < smallest:
        yield (
            [("device", "size"), ("packer", "block"), ("page_size",)],
            f"'size' in [device]: must be at least {format_size(smallest)} for blocks of "
            f"{format_size(block)}, got {format_size(size)}",
        )
    if tables["writeback"].get("readahead") and tables["writeback"].get("promote") == "never":
        yield (
            [("writeback", "readahead"), ("writeback", "promote")],
            "'readahead' in [writeback]: nothing can come along, since promote is \"never\"",
        )
    if high is not None and accept is not None and accept > high:
        yield (
            [("writeback", "accept"), ("writeback", "high")],
            f"'accept' in [writeback]: must not be above high, {written(high, Percent)}, "
            f"got {written(accept, Percent)}",
        )


def between(config: PipelineConfig) -> Iterator[tuple[Path, str]]:
    """What is wrong between components, by their own word: the key concerned and a text."""
    allocator, packer, device = config.allocator, config.packer, config.device
    if device.encrypt and not packer.keeps_compressed:
        yield (
            ("packer", "use"),
            f"'use' in [packer]: {packer.name!r} writes pages without records, which 'encrypt' in "
            "[device] needs; 'bounce' writes them",
        )
    elif not packer.fits(config.page_size + seal_bytes(device.encrypt), config.page_size):
        yield (
            ("packer", "block"),
            f"'block' in [packer] {packer.name}: {format_size(packer.block)} can not hold a page "
            f"of {format_size(config.page_size)} that does not shrink; the next larger is "
            f"{format_size(packer.block + config.page_size)}",
        )
    smallest = packer.block + allocator.largest_grant(config.page_size)
    if allocator.limit < smallest:
        yield (
            ("allocator", "limit"),
            f"'limit' in [allocator] {allocator.name}: must be at least {format_size(smallest)}: "
            f"a block of {format_size(packer.block)} staged, and what one object may need, "
            f"got {format_size(allocator.limit)}",
        )
    if device.persistent:
        yield from _forgetful(config)
    staged = max(packer.block, allocator.limit // STAGED_SHARE)
    most = (allocator.limit - staged - allocator.largest_grant(config.page_size)) // 2
    most = max(most // config.page_size, 0)
    if config.cache.pages > most:
        yield (
            ("cache", "pages"),
            f"'pages' in [cache]: must be at most {most}, half of what the pool's limit of "
            f"{format_size(allocator.limit)} leaves besides blocks, got {config.cache.pages}",
        )
    if config.cache.pages and not any(one.takes_all for one in config.claimers):
        yield (
            ("entries",),
            "'entries': with [cache] pages there must be a type that takes every page, such as "
            "'raw': a page that none takes would be found out too late",
        )
    for one in config.entry_types:
        if isinstance(one, DeviceEntryType) and device.size > one.largest_device:
            yield (
                ("device", "size"),
                f"'size' in [device] {device.name}: must be at most "
                f"{format_size(one.largest_device)}, got {format_size(device.size)}",
            )


def _forgetful(config: PipelineConfig) -> Iterator[tuple[Path, str]]:
    """What keeps a persistent device from bringing everything back."""
    device, packer = config.device, config.packer
    why = device.why_forgetful()
    if why is not None:
        yield (
            ("device", "persistent"),
            f"'persistent' in [device] {device.name}: must be false, {why}",
        )
    if not packer.keeps_compressed:
        yield (
            ("packer", "use"),
            f"'use' in [packer]: {packer.name!r} writes no records, so a persistent device "
            "could not be reopened; 'bounce' writes them",
        )
    for one in config.claimers:
        if not one.durable:
            yield (
                ("entries",),
                f"'entries': {one.name!r} can not be brought back from a persistent device",
            )
