"""tox's plugin of this repository: pyenv's interpreters, whichever of them is active."""

from __future__ import annotations

import os
from pathlib import Path

# pyenv's shims on PATH answer only for the version that is active; the others stand behind them.
_ROOT = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
_BINS = map(str, sorted(_ROOT.glob("versions/3.*/bin")))
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *_BINS])
