"""The notebooks of the site, executed when it is built: a hook of MkDocs.

They are kept without outputs under ``docs/notebooks``; each becomes a page with what its cells show, and stays beside
it to be taken. A cell that fails, and one that takes longer than ``CELL_S``, fails the site.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from mkdocs.structure.files import File
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

START_S, CELL_S = 300, 1800
"""The most that a kernel's start and a cell may take: many times what they do on two idle cores."""
FRONT = "---\nhide: [toc]\nsearch:\n  exclude: true\n---\n\n"
"""Pictures are as wide as the page; and thousands of their numbers are nothing to search for."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every notebook."""
    for path in sorted(Path(config.docs_dir).glob("notebooks/*.ipynb")):
        page = FRONT + executed(path.read_text(encoding="utf-8"))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
    return files


@cache  # a served site is built again and again
def executed(notebook: str) -> str:
    """A notebook as Markdown, with what its cells show; they run in a folder of their own, which is gone afterwards.

    Raises:
        nbclient.exceptions.CellExecutionError, nbclient.exceptions.CellTimeoutError: A cell failed.
    """
    content = nbformat.reads(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            content,
            timeout=CELL_S,
            startup_timeout=START_S,
            resources=resources,
            extra_arguments=["--log-level=ERROR"],  # that others on this machine could listen is nothing to warn of
        ).execute()
    markdown, _ = MarkdownExporter().from_notebook_node(content)
    return str(markdown)
