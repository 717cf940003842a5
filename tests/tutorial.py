"""The tutorial's page as something that can be carried out: files to write, commands to run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"

_FENCE = re.compile(r"""^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$""", re.MULTILINE | re.DOTALL)
_FIGURE = re.compile(r"\d[\d,]*(\.\d+)?")
_STATUS = re.compile(r"\[exit status (\d+)\]\n$")


@attrs.frozen
class Step:
    """Something to do, at a line of the page: write `text` to `file`, or run `command`.

    A command is to print `text`, figures apart, with "..." for what may be anything, and to exit
    with `status`.
    """

    line: int
    text: str
    file: str | None = None
    command: str | None = None
    status: int = 0


def steps(markdown: str) -> Iterator[Step]:
    """What a page asks for: blocks with a title are files, `console` blocks have commands."""
    for match in _FENCE.finditer(markdown):
        language, title, body = match.groups()
        line = markdown.count("\n", 0, match.start()) + 1
        if language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                found = _STATUS.search(expected)
                yield Step(
                    line,
                    _STATUS.sub("", expected),
                    command=command,
                    status=int(found[1]) if found else 0,
                )
        elif title:
            yield Step(line, body, file=title)


def carry_out(step: Step, folder: Path, environ: Mapping[str, str]) -> None:
    """Do it in `folder`. Fails if a command does not do what the page says."""
    if step.file is not None:
        (folder / step.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / step.file).write_text(step.text)
        return
    assert step.command is not None
    done = subprocess.run(
        ["sh", "-c", step.command],
        cwd=folder,
        env={**os.environ, **environ},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    where = f"{PAGE.name}:{step.line}: $ {step.command}"
    assert done.returncode == step.status, f"{where}\n{done.stdout}"
    # On a terminal columns are aligned, in a pipe a tab parts them.
    how = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    expected, got = (_FIGURE.sub("0", text) for text in (step.text, done.stdout))
    same = doctest.OutputChecker().check_output(expected, got, how)
    assert same, f"{where}\nexpected:\n{step.text}\ngot:\n{done.stdout}"
