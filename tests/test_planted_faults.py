"""The conformance kit finds what is planted: each fault is a plugin of ours with one defect.

That the kit fails for the defect and not for another reason, the plugins' own tests say: there it
passes, with the same class but for the fault.
"""

from __future__ import annotations

import pytest
from planted import FAULTS, KITS

from coldpress import testing
from coldpress.component import Component
from coldpress.testing.kit import Kit
from coldpress.testing.running import run

PLANTED = [
    pytest.param(role, fault, check, id=f"{role}-{fault.__name__}")
    for role, faults in FAULTS.items()
    for fault, check in faults.items()
]


@pytest.mark.parametrize(("role", "fault", "check"), PLANTED)
def test_the_kit_finds(role: str, fault: type[Component], check: str) -> None:
    def kit() -> type[Kit]:
        tests = KITS.get(role) or getattr(testing, testing.KITS[role])
        return type("TestFaulty", (tests,), {"plugin": fault, "shrinks": False})

    failed = [one for one in run(kit, stop_at_first=True) if one.outcome == "failed"]
    assert [one.name for one in failed] == [check], "".join(one.why for one in failed)


@pytest.mark.parametrize("role", FAULTS)
def test_every_role_has_some(role: str) -> None:
    assert len(FAULTS[role]) >= 5
