"""The public names that belong to no role."""

from __future__ import annotations

import coldpress
from coldpress import errors, roles
from refpages.markdown import documented, paragraphs


def api(part: str) -> str:
    """The public names of one part: `errors`, `plugins` (what plugins are made with), `pipeline`.

    Raises `KeyError` for another.
    """
    names = {
        "pipeline": ["open", "Pipeline", "Stats", "DeviceStatus"],
        "errors": [one for one in coldpress.__all__ if hasattr(errors, one)],
    }
    rest = set(coldpress.__all__) - {*roles.__all__, *names["pipeline"], *names["errors"]}
    names["plugins"] = sorted(rest, key=str.lower)
    return paragraphs(*(documented(f"coldpress.{one}", 3) for one in names[part]))
