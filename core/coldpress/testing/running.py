"""Running a conformance class from a program, check by check."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import pytest

if TYPE_CHECKING:
    from coldpress.testing.kit import Kit


@attrs.frozen
class Check:
    """What became of one check: its name in plain words, and why it failed or was skipped."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    why: str
    seconds: float


def run(
    kit: Callable[[], type[Kit]],
    *,
    stop_at_first: bool = False,
    tell: Callable[[Check], None] | None = None,
) -> list[Check]:
    """Run all checks of a conformance class whose `plugin` is set; `tell` hears of each at once.

    `kit` is called when pytest has begun, so that it explains what fails in a module that is loaded
    by it.
    While it lasts `sys.stdout` is what pytest captures: `tell` writes to what it was before.
    Raises `KeyboardInterrupt` if it was interrupted, `RuntimeError` if pytest could not run it, and
    the `OSError` of a `tell` that can not: nothing more is checked then.
    """
    recorder = _Recorder(tell)
    with tempfile.TemporaryDirectory(prefix="coldpress-kit-") as folder:
        # pytest takes a module of a name that it knows from where it was before.
        module = Path(folder) / f"test_plugin_{next(_numbers)}.py"
        module.write_text(
            "from coldpress.testing import explain_failures, running\n\n"
            "explain_failures()\n"
            "TestPlugin = running.in_progress[-1]()\n"
        )
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        in_progress.append(kit)
        try:
            status = pytest.main(_arguments(folder, stop_at_first), plugins=[recorder])
        finally:
            in_progress.pop()
            sys.modules.pop(module.stem, None)
    if recorder.unheard is not None:
        raise recorder.unheard
    if status == pytest.ExitCode.INTERRUPTED and not recorder.errors:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError("\n".join(recorder.errors) or f"pytest ended with status {status!r}")
    return recorder.checks


in_progress: list[Callable[[], type[Kit]]] = []
"""What `run` was called with; the module that pytest collects takes the last one."""

_numbers = count()


def _arguments(folder: str, stop_at_first: bool) -> list[str]:
    # Nothing of the directory that the user happens to be in shall change what is checked.
    without = ("cacheprovider", "terminal", "faulthandler", "logging")
    arguments = [
        folder,
        "-c",
        f"{folder}/pytest.ini",
        "--rootdir",
        folder,
        "--import-mode=importlib",
    ]
    arguments += [word for name in without for word in ("-p", f"no:{name}")]
    return [*arguments, "-x"] if stop_at_first else arguments


class _Recorder:
    """A pytest plugin that turns its reports into checks."""

    def __init__(self, tell: Callable[[Check], None] | None) -> None:
        self.checks: list[Check] = []
        self.errors: list[str] = []
        self.unheard: OSError | None = None
        self._tell = tell

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        check = Check(
            in_words(report.nodeid.rpartition("::")[2]),
            report.outcome,
            _reason(report),
            report.duration,
        )
        self.checks.append(check)
        if self._tell:
            try:
                self._tell(check)
            except OSError as error:  # whoever read it has gone; pytest would call that its own
                self.unheard = error
                pytest.exit(str(error))


def in_words(name: str) -> str:
    """`test_a_page_comes_back[lz4]` as "a page comes back [lz4]"."""
    return name.removeprefix("test_").replace("_", " ").replace("[", " [")


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext if report.failed else ""
