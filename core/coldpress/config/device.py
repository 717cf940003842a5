"""From the table of one more device to the device, for a pipeline that is running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from coldpress.config.build import Builder
from coldpress.config.document import mapping_document
from coldpress.config.rules import across
from coldpress.config.schema import DEFAULT_USE, PipelineConfig
from coldpress.roles import Device


def load_device(given: Mapping[str, Any], config: PipelineConfig) -> Device:
    """The device, not open, that a table [device] with these keys describes.

    Raises `ConfigError` with all that is wrong with it, by itself or in the pipeline of `config`.
    """
    builder = Builder(mapping_document({"device": given}), config.registry, DEFAULT_USE)
    builder.component("device")
    present: dict[str, dict[str, Any]] = {
        "": {"page_size": config.page_size},
        "packer": {"block": config.packer.block},
        "allocator": {},
        "writeback": {},
    }
    for paths, message in across(present | builder.values):
        builder.report.add(message, *paths)
    builder.report.raise_if_any()
    return cast(Device, builder.built["device"])
