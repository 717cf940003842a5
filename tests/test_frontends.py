"""The kit for frontends, over a small one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from line_server import LineClient, LineServer, connect

from coldpress.testing import FrontendTests


class TestLineServer(FrontendTests):
    plugin = LineServer

    def client(self, frontend: Any) -> AbstractContextManager[LineClient]:
        return connect(frontend.path)
