"""The conformance kit: one class per role, that proves any plugin of the role.

An author subclasses the role's class as `TestYours` and sets `plugin`; pytest does the rest. The
kit keeps its own copy of everything and looks at memory and media behind the plugin's back, so that
no plugin can vouch for itself. What a plugin's class variables say it does not do is not asked of
it. It ends with a whole pipeline that is made with the plugin: random histories against a dict, and
threads.

Example:
    ```python
    from coldpress.testing import CompressorTests
    from coldpress_zlib import Zlib


    class TestZlib(CompressorTests):
        plugin = Zlib
    ```

It needs pytest and hypothesis, which `coldpress[testing]` brings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

try:
    import hypothesis as _hypothesis  # noqa: F401
    import pytest
except ImportError as error:
    raise ImportError(
        f"coldpress.testing needs {error.name}: pip install 'coldpress[testing]'", name=error.name
    ) from None

if TYPE_CHECKING:
    from coldpress.testing.allocator import AllocatorTests
    from coldpress.testing.bitrot import BitrotDevice
    from coldpress.testing.compressor import CompressorTests
    from coldpress.testing.crash import CrashDevice, Medium
    from coldpress.testing.device import DeviceTests
    from coldpress.testing.entry_type import EntryTypeTests
    from coldpress.testing.flaky import FlakyDevice
    from coldpress.testing.frontend import FrontendTests
    from coldpress.testing.kit import Kit
    from coldpress.testing.lying import LyingDevice
    from coldpress.testing.packer import PackerTests
    from coldpress.testing.policy import PolicyTests

KITS = {
    "compressor": "CompressorTests",
    "allocator": "AllocatorTests",
    "entry_type": "EntryTypeTests",
    "policy": "PolicyTests",
    "packer": "PackerTests",
    "device": "DeviceTests",
    "frontend": "FrontendTests",
}
"""Each role's conformance class, by its name in this module."""

# The classes are loaded when they are asked for: pytest explains a failed assertion only in a
# module that was loaded after pytest itself began.
_HOMES = {name: role for role, name in KITS.items()} | {
    "Kit": "kit",
    "BitrotDevice": "bitrot",
    "CrashDevice": "crash",
    "FlakyDevice": "flaky",
    "LyingDevice": "lying",
    "Medium": "crash",
}


def explain_failures() -> None:
    """Have pytest, if it has begun, explain the assertions of what is loaded from here on."""
    shared = (
        "cost",
        "entry_bench",
        "entry_claims",
        "entry_kinds",
        "entry_machine",
        "histories",
        "leftovers",
        "machine",
        "packing",
        "pool",
        "ranges",
        "threads",
        "whole",
    )
    homes = (*_HOMES.values(), *shared)
    pytest.register_assert_rewrite(*(f"{__name__}.{home}" for home in homes))


explain_failures()

__all__ = [
    "KITS",
    "AllocatorTests",
    "BitrotDevice",
    "CompressorTests",
    "CrashDevice",
    "DeviceTests",
    "EntryTypeTests",
    "FlakyDevice",
    "FrontendTests",
    "Kit",
    "LyingDevice",
    "Medium",
    "PackerTests",
    "PolicyTests",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
