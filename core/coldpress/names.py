"""Names and values that people type: compared as pip compares names, guessed at, shortened."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def normal(name: str) -> str:
    """What two spellings of a distribution's name have in common: "acme-fast" of "Acme_Fast"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shortened(text: str) -> str:
    """The text, or its beginning: something that was found may be of any length."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(word: str, choices: Iterable[str], most: int = 1) -> str:
    """The hint " did you mean 'x'", with up to `most` choices that are close to `word`; else ""."""
    close = difflib.get_close_matches(word, list(dict.fromkeys(choices)), n=most)
    if not close:
        return ""
    *others, last = (repr(one) for one in close)
    return f" did you mean {', '.join(others)} or {last}" if others else f" did you mean {last}"
