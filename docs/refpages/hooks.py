"""The hooks, with their signatures."""

from __future__ import annotations

from coldpress import hookspecs
from refpages.markdown import documented, paragraphs


def hooks() -> str:
    """Each hook as its specification has it, and the page of its role."""
    return paragraphs(
        *(
            paragraphs(
                documented(f"coldpress.hookspecs.{hook}", show_root_full_path=False),
                f"Their contract: [the {role.replace('_', ' ')} role](roles/{role}.md).",
            )
            for role, hook in hookspecs.HOOKS.items()
        )
    )
