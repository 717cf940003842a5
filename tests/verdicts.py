"""What `coldpress fsck` says of an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldpress.cli import main

Capture = pytest.CaptureFixture[str]


def fsck(path: Path, capsys: Capture, *options: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["fsck", str(path), "--json", *options])
    out, err = capsys.readouterr()
    assert not err
    return status, json.loads(out)


def kinds(result: dict[str, Any]) -> list[str]:
    return sorted({one["kind"] for one in result["findings"]})
