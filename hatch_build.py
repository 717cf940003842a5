"""Compile the hot modules when a C compiler is at hand; never fail for want of one.

Every module that has a `.pxd` beside its `.py` is compiled; the `.py` alone is complete. The
environment variable COLDPRESS_COMPILE decides: unset, try (an editable install: do not try);
0, never; 1, fail if it can not be done.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOTS = ("core", "plugins")
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # the .pxd gives the C types; annotations are for people and mypy
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
}


class Compile(BuildHookInterface):  # type: ignore[type-arg]
    """The wheel target's build hook."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        want = os.environ.get("COLDPRESS_COMPILE", "0" if version == "editable" else "auto")
        if self.target_name != "wheel" or want == "0":
            return
        from Cython.Build import cythonize
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext

        self._scratch = Path(tempfile.mkdtemp(prefix="coldpress-build-"))
        os.chdir(self.root)
        sources = {}
        for root in ROOTS:
            for pxd in sorted(Path(root).rglob("*.pxd")):
                source = pxd.with_suffix(".py")
                sources[".".join(source.relative_to(root).with_suffix("").parts)] = source
        flags = [] if os.name == "nt" else ["-O2", "-g0"]
        extensions = cythonize(
            [Extension(name, [str(s)], extra_compile_args=flags) for name, s in sources.items()],
            build_dir=str(self._scratch / "c"),
            include_path=list(ROOTS),
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        for extension in extensions:
            extension.optional = want != "1"  # cythonize() drops it from the Extension it is given
        command = build_ext(Distribution({"name": "coldpress", "ext_modules": extensions}))
        command.build_lib = str(self._scratch / "lib")
        command.build_temp = str(self._scratch / "tmp")
        command.parallel = os.cpu_count()
        command.ensure_finalized()
        command.run()
        library = self._scratch / "lib"
        built = [path for path in library.rglob("*") if path.suffix in {".so", ".pyd"}]
        for path in built:
            inside = path.relative_to(library)
            if version == "editable":  # next to its source: the .pth points there
                module = ".".join(inside.with_name(path.name.partition(".")[0]).parts)
                shutil.copy2(path, sources[module].with_name(path.name))
            else:
                build_data["force_include"][str(path)] = str(inside)
        if built and version != "editable":
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        self.app.display_info(f"coldpress: {len(built)} of {len(sources)} modules compiled")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_scratch"):
            shutil.rmtree(self._scratch, ignore_errors=True)
