"""Built-in plugins with one fault each, which the conformance kit must find.

Each module has a table FAULTS: a class, and the check that finds it, as `coldpress test` names it.
"""

from __future__ import annotations

from coldpress.component import Component
from planted import allocators, compressors, packers, policies

FAULTS: dict[str, dict[type[Component], str]] = {
    "compressor": compressors.FAULTS,
    "allocator": allocators.FAULTS,
    "policy": policies.FAULTS,
    "packer": packers.FAULTS,
}
"""Of each role."""
