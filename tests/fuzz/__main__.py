"""The command line; see the package."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import CORPUS

_NAMES = sorted(one.name for one in CORPUS.iterdir())
_DONE = re.compile(r"Done (\d+) runs")
_COVERED = re.compile(r"cov: (\d+)")


def guided(target: str, options: list[str]) -> None:
    """Run one target for as long as the options say; the process ends with the fuzzer's status."""
    import atheris

    with atheris.instrument_imports(include=["coldpress", "coldpress_plugins"]):
        from coldpress.registry import Registry
        from tests.fuzz.targets import TARGETS

        Registry.load()  # the plugins are imported by this, and would not be guided by later
    with tempfile.TemporaryDirectory(prefix="coldpress-fuzz-") as folder:
        found = f"-artifact_prefix={Path.cwd()}/"
        folders = [folder, str(CORPUS / target)]  # what is new goes to the first
        atheris.Setup([sys.argv[0], found, *options, *folders], TARGETS[target])
        atheris.Fuzz()


def each(seconds: float) -> int:
    """All targets, in turn, for so many seconds each; prints a line for each. The exit status."""
    failed = False
    for target in _NAMES:
        command = [sys.executable, "-m", "tests.fuzz", target, f"-max_total_time={seconds:.0f}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs, covered = (pattern.findall(done.stderr) for pattern in (_DONE, _COVERED))
        failed |= done.returncode != 0
        what = "a finding" if done.returncode else "no finding"
        print(
            f"{target}: {what}, {(runs or '?')[-1]} runs, coverage {(covered or '?')[-1]}",
            flush=True,
        )
        if done.returncode:
            print(done.stderr[-4000:], file=sys.stderr)
    return int(failed)


def main() -> int:
    """What the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=_NAMES, help="one of them, guided")
    parser.add_argument("--minutes", type=float, default=1, help="for all of them together")
    args, options = parser.parse_known_args()
    if args.target is None:
        return each(args.minutes * 60 / len(_NAMES))
    guided(args.target, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
