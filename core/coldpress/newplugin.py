"""A package for a new plugin, made from the templates: small, whole, and passing the kit.

What all roles have in common is in `templates/frame`, what is a role's own in the folder of its
name; a file of the latter stands in for the frame's of the same name.
"""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template

import attrs

from coldpress.names import normal
from coldpress.plugincheck import NAME
from coldpress.roles import ROLES

_SUMMARIES = {
    "compressor": "Deflate, as a compressor for coldpress.",
    "allocator": "One page for each object, as an allocator for coldpress.",
    "entry_type": "Pages of a few bytes among zeros, as an entry type for coldpress.",
    "policy": "First in, first out, as a policy for coldpress.",
    "packer": "Objects that begin at sectors, as a packer for coldpress.",
    "device": "A new file, as a device for coldpress.",
    "frontend": "Pages over a unix socket, as a frontend for coldpress.",
}
"""What each role's template is, in one line."""


@attrs.frozen
class NewPlugin:
    """The package of a plugin that does not exist yet.

    Parameters: `role`, one of the roles; `name`, what pipeline files are to call the plugin;
    `taken`, whether another plugin of the role has that name.

    Raises `ValueError` if no plugin can have the name.
    """

    role: str
    name: str
    taken: bool = False

    def __attrs_post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"a plugin can not be called {self.name!r}: it takes letters, digits, '.', '_' and "
                "'-', and begins with a letter or a digit"
            )

    @property
    def distribution(self) -> str:
        """The package's name for pip: "coldpress-my-codec" of "My_Codec"."""
        return f"coldpress-{normal(self.name).strip('-').removeprefix('coldpress-')}"

    @property
    def module(self) -> str:
        """The package's name for Python."""
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The plugin's class: "MyCodecCompressor". The role keeps keywords and digits apart."""
        words = re.split(r"[-_.]+", f"{self.name}-{self.role}")
        camel = "".join(word[:1].upper() + word[1:] for word in words)
        return camel if camel[0].isalpha() else f"Plugin{camel}"

    @property
    def use(self) -> str:
        """What a pipeline file says."""
        return f"{self.distribution}:{self.name}" if self.taken else self.name

    def files(self) -> dict[str, str]:
        """The contents of each file, by its path inside the package."""
        made = {
            "pyproject.toml": self._text("pyproject.toml"),
            "README.md": self._readme(),
            "tox.ini": self._text("tox.ini"),
            "pipeline.toml": self._text("pipeline.toml"),
            f"src/{self.module}/__init__.py": self._text("plugin.py"),
            f"src/{self.module}/py.typed": "",
            "tests/test_conformance.py": self._text("test.py"),
        }
        if self.role != "frontend":  # which takes no part in the matrix
            made["tox.ini"] += self._text("matrix.ini")
            made["README.md"] += self._text("matrix.md")
        return made

    def _readme(self) -> str:
        usage = self._text("usage.md", pipeline=self._text("pipeline.toml"))
        return self._text("README.md", usage=usage)

    def _text(self, name: str, **more: str) -> str:
        template = Template(_template(self.role, name).read_text(encoding="utf-8"))
        return template.substitute(
            distribution=self.distribution,
            module=self.module,
            name=self.name,
            cls=self.class_name,
            role=self.role,
            kit=f"{ROLES[self.role].__name__}Tests",
            use=self.use,
            summary=_SUMMARIES[self.role],
            **more,
        )


def _template(role: str, name: str) -> Traversable:
    templates = files("coldpress") / "templates"
    own = templates / role / f"{name}.in"
    return own if own.is_file() else templates / "frame" / f"{name}.in"
