"""What mkdocs calls while it builds the site: fills the reference pages in from the code."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

from refpages import expand


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The site's files with the colours of its code among them."""
    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    files.append(File.generated(config, "highlight.css", content=colours))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text with what its `<!-- generate: ... -->` lines ask for."""
    return expand(markdown)
