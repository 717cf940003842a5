"""The conformance kit: each role's class and what it checks."""

from __future__ import annotations

from coldpress import testing
from coldpress.roles import ROLES
from coldpress.testing.running import in_words
from refpages.markdown import documented, paragraphs


def kit() -> str:
    """Each role's conformance class, with its checks."""
    return paragraphs(*(_role(role) for role in ROLES if role in testing.KITS))


def kit_link(role: str) -> str:
    """A sentence for the role's page that leads to its conformance class; "" if it has none."""
    if role not in testing.KITS:
        return ""
    name = testing.KITS[role]
    return f"Proved by [`coldpress.testing.{name}`](../kit.md#coldpress.testing.{name})."


def checks(role: str) -> list[str]:
    """The names of the role's checks, in the order in which they run."""
    kit_class = getattr(testing, testing.KITS[role])
    found: dict[str, None] = {}
    for cls in reversed(kit_class.__mro__):
        found |= dict.fromkeys(name for name in vars(cls) if name.startswith("test_"))
    return list(found)


def _role(role: str) -> str:
    name = testing.KITS[role]
    return paragraphs(
        documented(f"coldpress.testing.{name}", 3, show_root_full_path=False),
        "\n".join(f"- {in_words(check)}" for check in checks(role)),
    )
