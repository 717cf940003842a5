"""`python -m coldpress`."""

from __future__ import annotations

import sys

from coldpress.cli import main

sys.exit(main())
