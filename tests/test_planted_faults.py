"""The conformance kit finds what is planted: each fault is a plugin of ours with one defect.

That the kit fails for the defect and not for another reason, the plugins' own tests say: there it
passes, with the same class but for the fault.
"""

from __future__ import annotations

import pytest
from once import on_one_python
from planted import FAULTS, KITS
from planted.allocators import Proxied
from planted.packers import OfBlocks

from coldpress import testing
from coldpress.component import Component
from coldpress.testing.kit import Kit
from coldpress.testing.running import Check, run

pytestmark = on_one_python

PLANTED = [
    pytest.param(role, fault, check, id=f"{role}-{fault.__name__}")
    for role, faults in FAULTS.items()
    for fault, check in faults.items()
]


def failures(role: str, plugin: type[Component], **changed: float) -> list[Check]:
    """The first check that the plugin fails, if it does."""

    def kit() -> type[Kit]:
        tests = KITS.get(role) or getattr(testing, testing.KITS[role])
        return type("TestFaulty", (tests,), {"plugin": plugin, "shrinks": False, **changed})

    return [one for one in run(kit, stop_at_first=True) if one.outcome == "failed"]


@pytest.mark.parametrize(("role", "fault", "check"), PLANTED)
def test_the_kit_finds(role: str, fault: type[Component], check: str) -> None:
    failed = failures(role, fault)
    assert [one.name for one in failed] == [check], "".join(one.why for one in failed)


@pytest.mark.parametrize(("role", "carrier"), [("allocator", Proxied), ("packer", OfBlocks)])
def test_what_carries_the_faults_has_none(role: str, carrier: type[Component]) -> None:
    assert not failures(role, carrier, examples=5, seconds=0.1)


@pytest.mark.parametrize("role", FAULTS)
def test_every_role_has_some(role: str) -> None:
    assert len(FAULTS[role]) >= 5
