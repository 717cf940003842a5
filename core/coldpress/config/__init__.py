"""The pipeline file: read, checked as a whole, turned into components that can be opened."""

from __future__ import annotations

from coldpress.config.device import load_device
from coldpress.config.load import load_config
from coldpress.config.schema import CacheConfig, PipelineConfig, WritebackConfig

__all__ = ["CacheConfig", "PipelineConfig", "WritebackConfig", "load_config", "load_device"]
